"""Each picture gets its thumbnails, in the background or at once for whoever waits."""

from __future__ import annotations

import hashlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import PIL.Image
import pytest
from picture_files import Add, opened, rows

from mysticanvas.contracts import thumbnails as where
from mysticanvas.errors import InvalidRequest, JobCancelled, NotFound, StoreError
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files.thumbnails import BATCH, Thumbnails
from mysticanvas.store import Store


@pytest.mark.parametrize(
    ("size", "small", "large"),
    [((1200, 600), (256, 128), (512, 256)), ((100, 30), (100, 30), (100, 30))],
)
def test_both_sizes_are_made_recorded_and_never_larger_than_the_picture(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any,
    size: tuple[int, int], small: tuple[int, int], large: tuple[int, int],
) -> None:  # fmt: skip
    image = add(size)
    assert thumbnails.run(context) == {"made": 1, "failed": 0, "unread": 0}
    found = rows(store, image)
    for side, expected in ((256, small), (512, large)):
        row = found[f"thumbnail_{side}"]
        content = (paths.root / where.path(image.id, side)).read_bytes()
        assert row["path"] == where.path(image.id, side)
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert row["bytes"] == len(content)
        assert opened(content).size == expected == (row["width"], row["height"])
    assert thumbnails.run(context) == {"made": 0, "failed": 0, "unread": 0}


def test_a_run_makes_what_is_missing_and_nothing_else(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    first = add()
    assert thumbnails.run(context)["made"] == 1
    made_at = (paths.root / where.path(first.id, 256)).stat().st_mtime_ns
    more = [add() for _ in range(BATCH + 5)]
    gone = add()
    store.images.delete([gone.id])
    assert thumbnails.run(context)["made"] == len(more)
    assert (paths.root / where.path(first.id, 256)).stat().st_mtime_ns == made_at
    assert all((paths.root / where.path(image.id, 512)).is_file() for image in more)
    assert not (paths.root / where.path(gone.id, 256)).exists()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_any_kind_of_pixel_will_do(
    thumbnails: Thumbnails, add: Add, context: Any, mode: str
) -> None:
    buffer = io.BytesIO()
    PIL.Image.new(mode, (600, 300)).save(buffer, "PNG")
    image = add(content=buffer.getvalue())
    assert thumbnails.run(context) == {"made": 1, "failed": 0, "unread": 0}
    assert opened(thumbnails.get(image.id, 256)).size == (256, 128)


def test_thumbnails_that_are_there_are_recorded_and_unsound_ones_made_again(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    sound, unsound = add(), add()
    thumbnails.run(context)
    before = {image.id: rows(store, image) for image in (sound, unsound)}
    store.files.forget(
        [where.path(image.id, side) for image in (sound, unsound) for side in (256, 512)]
    )
    (paths.root / sound.file.path).write_text("what is there is not made from this")
    small = paths.root / where.path(unsound.id, 512)
    small.write_bytes(small.read_bytes()[:100])
    assert thumbnails.run(context) == {"made": 2, "failed": 0, "unread": 0}
    for image in (sound, unsound):
        for kind, row in rows(store, image).items():
            assert row["sha256"] == before[image.id][kind]["sha256"]
    assert opened(small.read_bytes())


def test_one_that_is_wanted_is_made_at_once(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    image = add((600, 600))
    content = thumbnails.get(image.id, 512)
    assert opened(content).size == (512, 512)
    assert rows(store, image).keys() == {"original", "thumbnail_256", "thumbnail_512"}
    assert thumbnails.run(context)["made"] == 0
    (paths.root / where.path(image.id, 512)).unlink()
    assert thumbnails.get(image.id, 512) == content
    assert len(rows(store, image)) == 3


def test_what_cannot_be_asked_for_is_refused(
    store: Store, thumbnails: Thumbnails, add: Add
) -> None:
    image = add()
    with pytest.raises(InvalidRequest) as refused:
        thumbnails.get(image.id, 300)
    assert refused.value.parameter == "size"
    for unknown in ("ffff", "../../etc/passwd", image.job_id):
        with pytest.raises(NotFound):
            thumbnails.get(unknown, 256)
    store.images.delete([image.id])
    with pytest.raises(NotFound):
        thumbnails.get(image.id, 256)


def test_the_background_and_somebody_who_waits_make_one(
    store: Store, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    images = [add() for _ in range(30)]
    together = threading.Barrier(4)

    def want() -> int:
        together.wait(60)
        return sum(opened(thumbnails.get(image.id, 256)).width for image in images)

    def run() -> int:
        together.wait(60)
        return len(thumbnails.run(context))

    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(work) for work in (want, want, run, run)]
        assert [future.result(120) for future in futures] == [256 * 30, 256 * 30, 3, 3]
    for image in images:
        assert len(rows(store, image)) == 3


def test_a_cancelled_run_keeps_what_it_has_recorded(
    store: Store, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    images = [add() for _ in range(80)]

    def cancel() -> None:
        if context.checks == 60:
            raise JobCancelled("The job was cancelled.")

    context.on_check = cancel
    with pytest.raises(JobCancelled):
        thumbnails.run(context)
    kept = sum(len(rows(store, image)) == 3 for image in images)
    assert 0 < kept < len(images)
    context.on_check = lambda: None
    assert thumbnails.run(context) == {"made": len(images) - kept, "failed": 0, "unread": 0}


def test_a_file_that_cannot_be_written_is_nothing_against_the_picture(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    image = add()
    folder = (paths.root / where.path(image.id, 256)).parent
    folder.parent.mkdir()
    folder.write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        thumbnails.run(context)
    assert store.files.failures() == {}
    folder.unlink()
    assert thumbnails.run(context) == {"made": 1, "failed": 0, "unread": 0}


def test_one_that_was_swept_while_it_was_made_leaves_no_file(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    image = add()

    def sweep() -> None:
        store.images.delete([image.id])
        store.files.doom([store.database.read("SELECT seq FROM images")[0]["seq"]])

    context.on_check = sweep
    thumbnails.run(context)
    assert not (paths.root / where.path(image.id, 256)).exists()
    assert rows(store, image) == {}


def test_a_look_at_many_that_lack_nothing_can_be_ended(
    store: Store, thumbnails: Thumbnails, add: Add, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.store.files.WINDOW", 1)
    for _ in range(3):
        add()
    thumbnails.run(context)

    def cancel() -> None:
        if context.checks == 2:
            raise JobCancelled("enough")

    context.checks, context.on_check = 0, cancel
    with pytest.raises(JobCancelled):
        thumbnails.run(context)
