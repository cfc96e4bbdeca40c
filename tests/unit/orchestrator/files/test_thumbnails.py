"""Thumbnails of real pictures by real processes, in the background and at once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from mysticanvas import logs
from mysticanvas.contracts import thumbnails as where
from mysticanvas.contracts.thumbnails import ThumbnailOrder
from mysticanvas.errors import Conflict, InvalidRequest, JobCancelled, NotFound, StoreError
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import BATCH, Thumbnails
from mysticanvas.orchestrator.files.upkeep import WHOLE_S, FileUpkeep
from mysticanvas.settings import HomePaths
from mysticanvas.store import NewImage, Store

Add = Callable[..., NewImage]


def rows(store: Store, image: NewImage) -> dict[str, dict[str, Any]]:
    """The rows of a picture's files by kind; each kind once."""
    found = store.database.read(
        "SELECT * FROM generation_files WHERE image_id = $id ORDER BY kind", id=image.id
    )
    by_kind = {row["kind"]: row for row in found}
    assert len(by_kind) == len(found)
    return by_kind


def opened(content: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(content))
    assert picture.format == "WEBP"
    picture.load()
    return picture


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


def bomb() -> bytes:
    """A PNG that says it has 30,000 × 30,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = [
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (header, body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def truncated(tmp_path: Path) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.effect_noise((300, 300), 50).save(buffer, "PNG")
    return buffer.getvalue()[:5000]


def replace_by_text(path: Path) -> None:
    path.write_text("not a picture")


def replace_by_link(path: Path) -> None:
    outside = path.parents[3] / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)


def replace_by_linked_folder(path: Path) -> None:
    outside = path.parents[3] / "outside"
    path.parent.rename(outside)
    path.parent.symlink_to(outside, target_is_directory=True)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def cut(path: Path) -> None:
    path.write_bytes(truncated(path.parent))


def blow_up(path: Path) -> None:
    path.write_bytes(bomb())


HOSTILE = [
    replace_by_text, replace_by_link, replace_by_linked_folder, replace_by_pipe, cut, blow_up,
]  # fmt: skip


def test_hostile_files_are_recorded_once_and_cost_the_others_nothing(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, pool: Pool, context: Any
) -> None:
    bad = [add() for _ in HOSTILE]
    good = [add() for _ in range(5)]
    for image, damage in zip(bad, HOSTILE, strict=True):
        damage(paths.root / image.file.path)

    assert thumbnails.run(context) == {"made": len(good), "failed": len(bad), "unread": 0}

    assert store.files.failures().keys() == {image.id for image in bad}
    assert "pixels" in store.files.failures()[bad[5].id]
    assert len(pool.pids) > 0
    assert thumbnails.run(context) == {"made": 0, "failed": 0, "unread": 0}
    with pytest.raises(NotFound, match="no thumbnail"):
        thumbnails.get(bad[0].id, 256)
    assert opened(thumbnails.get(good[0].id, 256))


def test_a_file_that_cannot_be_read_this_time_forbids_nothing(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    images = [add() for _ in range(3)]
    away = paths.images.with_name("unmounted")
    paths.images.rename(away)
    assert thumbnails.run(context) == {"made": 0, "failed": 0, "unread": len(images)}
    with pytest.raises(NotFound, match=r"cannot be read: .*No such file"):
        thumbnails.get(images[0].id, 256)
    assert store.files.failures() == {}
    away.rename(paths.images)
    assert thumbnails.run(context) == {"made": len(images), "failed": 0, "unread": 0}


def test_a_run_ends_when_no_file_can_be_read(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("mysticanvas.orchestrator.files.thumbnails.MOST_UNREAD", 3)
    for gone in (True, True, False, True, True):
        image = add()
        if gone:
            (paths.root / image.file.path).unlink()
    assert thumbnails.run(context) == {"made": 1, "failed": 0, "unread": 4}
    (paths.root / add().file.path).unlink()
    with pytest.raises(StoreError, match=r"3 pictures.*No such file") as failed:
        thumbnails.run(context)
    assert "mounted" in failed.value.hint
    assert store.files.failures() == {}


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


def test_a_picture_that_can_have_none_is_logged_with_the_request_that_wanted_it(
    paths: HomePaths, thumbnails: Thumbnails, add: Add, pool: Pool
) -> None:
    image = add()
    (paths.root / image.file.path).write_text("no picture")
    with logs.bind(request_id="r-12345678"), pytest.raises(NotFound):
        thumbnails.get(image.id, 256)
    (pid,) = pool.pids
    pool.close()
    (line,) = map(json.loads, (paths.logs / "thumbnails.out").read_text().splitlines())
    assert (line["process"], line["pid"], line["event"]) == ("thumbnails", pid, "thumbnail_unfit")
    assert (line["image_id"], line["request_id"]) == (image.id, "r-12345678")


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


def test_waiting_has_an_end(thumbnails: Thumbnails, add: Add, pool: Pool) -> None:
    first = add()
    thumbnails.get(first.id, 256)
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    second = add()
    with pytest.raises(Conflict, match="not ready"):
        thumbnails.get(second.id, 256, wait_s=0.05)
    for pid in pool.pids:
        os.kill(pid, signal.SIGCONT)
    assert opened(thumbnails.get(second.id, 256))


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


@pytest.mark.fault("SIGKILL of the processes that make thumbnails", "all are made")
def test_a_killed_process_costs_nothing(
    store: Store, thumbnails: Thumbnails, add: Add, pool: Pool, context: Any
) -> None:
    images = [add() for _ in range(60)]

    def kill_once() -> None:
        if context.checks == 40:
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)

    context.on_check = kill_once
    assert thumbnails.run(context) == {"made": len(images), "failed": 0, "unread": 0}


def test_a_picture_that_takes_every_process_with_it_is_recorded(
    thumbnails: Thumbnails, add: Add, pool: Pool, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No patience at all stands for a decoder that hangs."""
    good, bad = add(), add()
    thumbnails.get(good.id, 256)
    monkeypatch.setattr("mysticanvas.orchestrator.files.pool.ANSWER_S", 0.0)
    assert thumbnails.run(context) == {"made": 0, "failed": 1, "unread": 0}
    monkeypatch.undo()
    with pytest.raises(NotFound, match="lost"):
        thumbnails.get(bad.id, 256)


def test_a_process_that_is_killed_from_outside_says_nothing_of_its_picture(
    paths: HomePaths, store: Store, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.orchestrator.files.pool.LOSSES", 1)
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
    thumbnails = Thumbnails(store, paths.root, pool)
    try:
        thumbnails.get(add().id, 256)
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)
        image = add()
        with pytest.raises(Conflict):
            thumbnails.get(image.id, 256, wait_s=0.05)
        answer = pool.submit(ThumbnailOrder(image_id=image.id, source=image.file.path))
        os.kill(pid, signal.SIGKILL)
        assert "SIGKILL" in answer.result(60).unread
        assert opened(thumbnails.get(image.id, 256))
    finally:
        pool.close()


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


def test_a_closed_pool_refuses_and_its_processes_are_gone(
    paths: HomePaths, store: Store, add: Add
) -> None:
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
    image = add()
    Thumbnails(store, paths.root, pool).get(image.id, 256)
    [pid] = pool.pids
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(Conflict, match="stopping"):
        Thumbnails(store, paths.root, pool).get(add().id, 256)


def test_an_idle_process_ends_and_the_next_order_starts_another(
    paths: HomePaths, store: Store, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.orchestrator.files.pool.IDLE_S", 0.01)
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
    try:
        thumbnails = Thumbnails(store, paths.root, pool)
        for _ in range(2):
            assert thumbnails.get(add().id, 256)
            for _ in range(6000):
                if not pool.pids:
                    break
                threading.Event().wait(0.01)
            assert pool.pids == []
    finally:
        pool.close()


def test_runs_between_two_whole_ones_look_at_what_is_new(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    now = 0.0
    monkeypatch.setattr("mysticanvas.orchestrator.files.upkeep.time.monotonic", lambda: now)
    begins: list[int] = []
    looked = store.files.without_thumbnails

    def look(after: int, check: Callable[[], None]) -> Any:
        begins.append(after)
        return looked(after, check)

    monkeypatch.setattr(store.files, "without_thumbnails", look)
    runs = FileUpkeep(store, paths, thumbnails, 0)
    old, gone = add(), add()
    assert runs.run(context) == {"swept": 0, "made": 2, "failed": 0, "unread": 0}
    store.images.delete([gone.id])
    away = paths.root / add().file.path
    kept = away.rename(away.with_name("away"))
    assert runs.run(context) == {"swept": 0, "made": 0, "failed": 0, "unread": 1}
    kept.rename(away)
    assert runs.run(context)["made"] == 1, "what could not be read is tried again"
    runs.run(context)
    assert begins == [0, 2, 2, 3]
    store.files.forget([where.path(old.id, 256)])
    assert runs.run(context)["made"] == 1, "what was forgotten is made again"
    now += WHOLE_S
    assert runs.run(context)["swept"] == 1
    assert begins[-1] == 0


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
