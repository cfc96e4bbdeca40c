"""A file that gives no thumbnail costs others nothing, and is recorded only if it is at fault."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from picture_files import Add, opened

from mysticanvas import logs
from mysticanvas.errors import NotFound, StoreError
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.store import Store


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
