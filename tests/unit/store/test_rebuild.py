"""The store rebuilt from the PNG files equals the one that they came from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mysticanvas.contracts import ids, picture
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.rebuild import RebuildReport, rebuild


def everything(store: Store) -> list[ImageRecord]:
    """All pictures, oldest first."""
    cards = store.images.page(1000).items
    return store.images.details([card.id for card in cards])[::-1]


def run(store: Store, paths: HomePaths) -> RebuildReport:
    return rebuild(store, paths.images, paths.root)


def place(paths: HomePaths, content: bytes) -> str:
    """Put content where a picture of that digest belongs; its path in the home."""
    digest = hashlib.sha256(content).hexdigest()
    path = paths.images / digest[:2] / f"{digest}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.relative_to(paths.root).as_posix()


def png(tmp_path: Path, chunks: dict[str, str] | None = None) -> bytes:
    info = PngInfo()
    for keyword, text in (chunks or {}).items():
        info.add_itxt(keyword, text)
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png", pnginfo=info)
    return (tmp_path / "one.png").read_bytes()


def test_the_rows_come_back_as_they_were(tmp_path: Path, maker: Any) -> None:
    old, new = HomePaths.of(tmp_path / "old"), HomePaths.of(tmp_path / "new")
    with Store.open(old) as store:
        for size in (3, 1, 2):
            job = maker.added(store, project="castle").record.id
            store.jobs.claim()
            moment = maker.moment()
            made = [
                maker.png(old, maker.image(job, maker.recipe(index=k, num_images=size),
                                           created_at=moment, project="castle"))
                for k in range(size)
            ]  # fmt: skip
            assert store.jobs.succeed(job, 1, made) is not None
        before = everything(store)
    shutil.copytree(old.images, new.images)

    with Store.open(new) as store:
        assert store.versions[0] == 0
        assert run(store, new) == RebuildReport(added=6, known=0, skipped=[])
        assert everything(store) == before
        found = store.images.by_request(before[0].request_hash, "castle")
        assert [image.id for image in found] == [image.id for image in before[:3]]


def test_a_second_run_adds_nothing(store: Store, paths: HomePaths, maker: Any) -> None:
    for _ in range(3):
        maker.png(paths, maker.image(ids.new_id()))
    run(store, paths)
    before = everything(store)
    assert run(store, paths) == RebuildReport(added=0, known=3, skipped=[])
    assert everything(store) == before


def test_only_what_is_missing_is_added(store: Store, paths: HomePaths, maker: Any) -> None:
    images = [maker.png(paths, maker.image(ids.new_id())) for _ in range(4)]
    store.images.add(images[2:])
    assert run(store, paths) == RebuildReport(added=2, known=2, skipped=[])
    assert {image.id for image in everything(store)} == {image.id for image in images}


def test_more_than_a_batch(
    store: Store, paths: HomePaths, maker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.store.rebuild.BATCH", 3)
    images = [maker.png(paths, maker.image(ids.new_id())) for _ in range(8)]
    assert run(store, paths).added == 8
    assert [image.id for image in everything(store)] == [image.id for image in images]


def test_a_huge_picture_is_recorded_without_decoding(
    store: Store, paths: HomePaths, maker: Any
) -> None:
    """Larger than what Pillow's guard against decompression bombs lets through."""
    image = maker.png(paths, maker.image(ids.new_id()))
    path = paths.root / image.file.path
    content = bytearray(path.read_bytes())
    content[16:24] = (16384).to_bytes(4, "big") * 2
    path.unlink()
    # The checksum of the header chunk is wrong now; make it right.
    content[29:33] = _crc(bytes(content[12:29]))
    place(paths, bytes(content))
    assert run(store, paths).skipped == []
    assert everything(store)[0].width == 16384


def test_a_picture_larger_than_any_that_is_made_is_not_recorded(
    store: Store, paths: HomePaths, maker: Any
) -> None:
    path = paths.root / maker.png(paths, maker.image(ids.new_id())).file.path
    content = bytearray(path.read_bytes())
    path.unlink()
    content[16:20] = (16385).to_bytes(4, "big")
    content[29:33] = _crc(bytes(content[12:29]))
    place(paths, bytes(content))
    [skipped] = run(store, paths).skipped
    assert "16,385 × " in skipped
    assert everything(store) == []


def _crc(chunk: bytes) -> bytes:
    return zlib.crc32(chunk).to_bytes(4, "big")


def change(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda text: text.update(members)


def change_params(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda text: text["recipe"]["params"].update(members)


@pytest.mark.parametrize(
    "damage",
    [
        change(image_id="../../etc/passwd"),
        change(job_id="1"),
        change(parent="nobody"),
        change(created_at="0001-01-01T00:00:00+14:00"),
        change(created_at="yesterday"),
        change(source="theft"),
        change(recipe=None),
        change_params(seed=2**80),
        change_params(seed=-1),
        change_params(num_inference_steps=2**40),
        change_params(guidance_scale=float("nan")),
        change_params(scheduler_config={"deep": float("inf")}),
    ],
)
def test_hostile_text_is_skipped_and_costs_the_others_nothing(
    store: Store,
    paths: HomePaths,
    maker: Any,
    tmp_path: Path,
    damage: Callable[[dict[str, Any]], None],
) -> None:
    good = [maker.png(paths, maker.image(ids.new_id())) for _ in range(2)]
    source = maker.png(paths, maker.image(ids.new_id()))
    original = paths.root / source.file.path
    with Image.open(original) as opened:
        text = json.loads(opened.info[picture.CHUNK])
    original.unlink()
    damage(text)
    bad = place(paths, png(tmp_path, {picture.CHUNK: json.dumps(text)}))

    report = run(store, paths)

    assert (report.added, report.known) == (2, 0)
    [line] = report.skipped
    assert line.startswith(f"{bad}: ")
    assert [image.id for image in everything(store)] == [image.id for image in good]


def test_files_that_are_no_pictures_of_ours_are_skipped(
    store: Store, paths: HomePaths, tmp_path: Path, maker: Any
) -> None:
    whole = png(tmp_path)
    bad = {
        place(paths, b""),
        place(paths, b"not a PNG"),
        place(paths, whole[:20]),
        place(paths, whole),
        place(paths, png(tmp_path, {picture.CHUNK: "{" * 100_000})),
        place(paths, png(tmp_path, {picture.CHUNK: "x" * (picture.MAX_CHUNK_CHARS + 1)})),
    }
    (paths.images / "notes.txt").write_text("not looked at")
    maker.png(paths, maker.image(ids.new_id()))

    report = run(store, paths)

    assert report.added == 1
    assert {line.partition(": ")[0] for line in report.skipped} == bad


def test_links_pipes_and_folders_are_not_followed(
    store: Store, paths: HomePaths, tmp_path: Path, maker: Any
) -> None:
    outside = HomePaths.of(tmp_path / "outside")
    image = maker.png(outside, maker.image(ids.new_id()))
    (paths.images / "link.png").symlink_to(outside.root / image.file.path)
    (paths.images / "folder.png").mkdir()
    os.mkfifo(paths.images / "pipe.png")
    (paths.images / "linked").symlink_to(outside.images, target_is_directory=True)

    report = run(store, paths)

    assert report.added == 0
    assert sorted(report.skipped) == [
        f"images/{name}.png: it is not a regular file" for name in ("folder", "link", "pipe")
    ]


def test_a_file_that_is_not_what_its_name_says_is_skipped(
    store: Store, paths: HomePaths, maker: Any
) -> None:
    image = maker.png(paths, maker.image(ids.new_id()))
    with (paths.root / image.file.path).open("ab") as file:
        file.write(b"\0")
    [line] = run(store, paths).skipped
    assert line == f"{image.file.path}: its content is not what its name, a SHA-256, says"


def test_two_files_of_one_picture_give_one_row(store: Store, paths: HomePaths, maker: Any) -> None:
    """A retried attempt may have left a file behind."""
    image = maker.image(ids.new_id())
    maker.png(paths, image)
    maker.png(paths, image)
    report = run(store, paths)
    assert report.added == 1
    [line] = report.skipped
    assert line.endswith("another file holds the same picture")


def test_two_pictures_for_one_place_give_one_row(
    store: Store, paths: HomePaths, maker: Any
) -> None:
    job = ids.new_id()
    first = maker.png(paths, maker.image(job))
    second = maker.png(paths, maker.image(job))
    maker.png(paths, maker.image(ids.new_id()))
    report = run(store, paths)
    assert report.added == 2
    [line] = report.skipped
    assert line.startswith(f"{second.file.path}: ")
    assert store.images.get(first.id)


def test_the_high_water_mark_knows_what_was_rebuilt(
    store: Store, paths: HomePaths, maker: Any
) -> None:
    maker.png(paths, maker.image(ids.new_id()))
    run(store, paths)
    assert '"images": 1' in paths.high_water.read_text()
