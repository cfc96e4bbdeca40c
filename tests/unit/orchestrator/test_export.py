"""An export stands without us: other programs read all of it, and a half one is never there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from makers import Maker

from mysticanvas.contracts import ids
from mysticanvas.contracts.exports import ExportParams, ExportReport
from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.errors import InvalidRequest, JobCancelled, StoreFull
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import export
from mysticanvas.store import Store

NASTY = "<script>alert('x')</script> \"&\" замок"


class Context:
    """A job that is cancelled at the given check."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.job_id = ids.new_id()
        self.checks = 0
        self.told: list[tuple[float, str]] = []
        self._cancel_at = cancel_at

    def check(self) -> None:
        self.checks += 1
        if self.checks == self._cancel_at:
            raise JobCancelled("enough")

    def progress(self, fraction: float, stage: str) -> None:
        self.told.append((fraction, stage))


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    return HomePaths.of(tmp_path / "home")


@pytest.fixture
def store(paths: HomePaths) -> Iterator[Store]:
    with Store.open(paths) as opened:
        yield opened


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def images(store: Store, paths: HomePaths, maker: Any) -> list[Any]:
    """Five pictures with files; the last belongs to another project, the first two have a tag."""
    projects = ["default"] * 4 + ["castle"]
    made = [
        maker.png(paths, maker.image(ids.new_id(), maker.recipe(prompt=NASTY), project=project))
        for project in projects
    ]
    store.images.add(made)
    with store.database.write() as transaction:
        transaction.run("INSERT INTO tags VALUES (1, 'Noir', 'noir', now()), (2, 'x', 'x', now())")
        transaction.run(
            "INSERT INTO image_tags SELECT seq, 1, 'user', NULL, NULL, created_at "
            "FROM images WHERE seq <= 2"
        )
    return made


@pytest.fixture
def run(store: Store, paths: HomePaths) -> Any:
    def run(path: Path, context: Context | None = None, **which: Any) -> ExportReport:
        params = ExportParams(path=str(path), **which)
        report = export.run(store, paths, params, context or Context())
        # As between two jobs, once this one is recorded; here it is of none that is known.
        export.tidy(store, paths)
        return report

    return run


def leftovers(paths: HomePaths, tmp_path: Path) -> list[str]:
    found = [*paths.backups.iterdir(), *tmp_path.iterdir()]
    return [path.name for path in found if path != paths.root]


def test_pandas_and_duckdb_read_it(run: Any, images: list[Any], tmp_path: Path, paths: Any) -> None:
    context = Context()
    report = run(tmp_path / "out", context)
    assert (report.images, report.missing) == (5, [])
    assert report.bytes == sum(image.file.bytes for image in images)
    assert context.told[-1][1] == "images"
    out = tmp_path / "out"
    frame = pd.read_parquet(out / "images.parquet")
    assert list(frame["id"]) == [image.id for image in images]
    assert list(frame["prompt"]) == [NASTY] * 5
    assert str(frame["created_at"].dtype) == "datetime64[us, UTC]"
    for image, path in zip(images, frame["path"], strict=True):
        assert (out / path).read_bytes() == (paths.root / image.file.path).read_bytes()
    tags = duckdb.read_parquet(str(out / "image_tags.parquet")).project("image, tag").fetchall()
    assert sorted(tags) == sorted((image.id, "Noir") for image in images[:2])
    assert duckdb.read_parquet(str(out / "tags.parquet")).project("name").fetchall() == [("Noir",)]
    lines = [json.loads(line) for line in (out / "recipes.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [image.id for image in images]
    assert lines[0]["recipe"] == images[0].recipe.model_dump(mode="json")
    assert "5 picture(s)" in (out / "README.txt").read_text()
    assert leftovers(paths, tmp_path) == ["out"]


def test_it_is_for_the_user_alone(run: Any, images: list[Any], tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        run(tmp_path / "out")
        run(tmp_path / "out.zip")
    finally:
        os.umask(before)
    made = [tmp_path / "out.zip", tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert len(made) > 2 * len(images)
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_the_gallery_escapes_and_has_pages(
    run: Any, images: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PER_PAGE", 2)
    run(tmp_path / "out")
    pages = sorted((tmp_path / "out").glob("*.html"))
    assert [page.name for page in pages] == ["index-2.html", "index-3.html", "index.html"]
    text = "".join(page.read_text() for page in pages)
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert text.count("<img ") == 5
    for image in images:
        assert f'src="{image.file.path}"' in text
    assert 'href="index-2.html"' in pages[2].read_text()
    assert 'href="index.html"' in pages[0].read_text()


def test_a_zip_holds_the_same(run: Any, images: list[Any], tmp_path: Path) -> None:
    run(tmp_path / "out")
    run(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        names = {path.relative_to(tmp_path / "out").as_posix() for path in files}
        assert set(archive.namelist()) == names
        assert (
            archive.read(images[0].file.path)
            == (tmp_path / "out" / images[0].file.path).read_bytes()
        )


def test_only_what_was_asked_for(run: Any, images: list[Any], tmp_path: Path) -> None:
    assert run(tmp_path / "a", project="castle").images == 1
    assert run(tmp_path / "b", project="default", ids=[images[4].id, images[3].id]).images == 1
    assert run(tmp_path / "c", ids=[]).images == 0
    assert list(pd.read_parquet(tmp_path / "b" / "images.parquet")["id"]) == [images[3].id]
    assert (tmp_path / "c" / "index.html").is_file()
    with pytest.raises(InvalidRequest, match="images"):
        run(tmp_path / "d", ids=["nonsense"])
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["taken", "taken.zip"])
def test_nothing_is_overwritten(run: Any, images: list[Any], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InvalidRequest, match="nothing is yet"):
        run(tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"
    with pytest.raises(InvalidRequest, match="folder that exists"):
        run(tmp_path / "nowhere" / name)


@pytest.mark.parametrize("folder", ["images", "thumbs", "backups", "run", "logs"])
def test_nothing_is_exported_into_what_the_home_keeps(
    run: Any, images: list[Any], paths: HomePaths, folder: str
) -> None:
    with pytest.raises(InvalidRequest, match="path.*outside of what"):
        run(paths.root / folder / "out")
    assert not (paths.root / folder / "out").exists()
    run(paths.root / f"{folder}.zip")


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_cancelled_export_leaves_nothing(
    run: Any, images: list[Any], tmp_path: Path, paths: HomePaths, name: str
) -> None:
    whole = Context()
    run(tmp_path / name, whole)
    remaining = tmp_path / name
    shutil.rmtree(remaining) if remaining.is_dir() else remaining.unlink()
    for check in range(1, whole.checks + 1):
        with pytest.raises(JobCancelled):
            run(tmp_path / name, Context(cancel_at=check))
        assert leftovers(paths, tmp_path) == []


def test_a_later_attempt_clears_what_a_killed_one_left(
    run: Any, images: list[Any], tmp_path: Path, paths: HomePaths
) -> None:
    context = Context()
    (paths.backups / f"export-{context.job_id}").mkdir()
    (tmp_path / f".mysticanvas-export-{context.job_id}").mkdir()
    run(tmp_path / "out", context)
    assert leftovers(paths, tmp_path) == ["out"]


def test_a_disk_without_room_is_found_before(
    run: Any, images: list[Any], tmp_path: Path, paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_RESERVE_BYTES", 1 << 60)
    with pytest.raises(StoreFull, match="MiB free"):
        run(tmp_path / "out")
    assert leftovers(paths, tmp_path) == []


def test_a_disk_that_fills_up_meanwhile_is_told_as_that(
    run: Any, images: list[Any], tmp_path: Path, paths: HomePaths
) -> None:
    class Filling(Context):
        def progress(self, fraction: float, stage: str) -> None:
            if stage == "images" and fraction > 0:
                raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreFull, match=r"no room left for the export to .*out"):
        run(tmp_path / "out", Filling())
    assert leftovers(paths, tmp_path) == []


@pytest.mark.parametrize("path", ["/proc/out", "/proc/out.zip"])
def test_a_folder_that_may_not_be_written_to_is_told_as_that(
    run: Any,
    images: list[Any],
    tmp_path: Path,
    paths: HomePaths,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    """Root is told so by the first write alone, and nothing has room there."""
    monkeypatch.setattr(export, "_RESERVE_BYTES", -(1 << 60))
    with pytest.raises(InvalidRequest) as refused:
        run(Path(path))
    assert refused.value.parameter == "path"
    assert leftovers(paths, tmp_path) == []


@pytest.mark.parametrize("end", ["", ".zip"])
def test_a_name_may_be_as_long_as_a_name_can_be(
    run: Any, images: list[Any], tmp_path: Path, end: str
) -> None:
    assert run(tmp_path / f"{'n' * (255 - len(end))}{end}").images == 5


def interrupted(store: Store, paths: HomePaths, folder: Path) -> JobRecord:
    """A job that waits, and what a killed attempt of it has left."""
    record = JobRecord(
        id=ids.new_id(),
        kind="export",
        status=JobStatus.QUEUED,
        project="default",
        priority="interactive",
        request_hash="",
        created_at=datetime.now(UTC),
    )
    store.jobs.add(record, "{}", None, params={"path": str(folder / "out")})
    (paths.backups / f"export-{record.id}").mkdir()
    (folder / f".mysticanvas-export-{record.id}" / "images").mkdir(parents=True)
    return record


def test_what_an_interrupted_export_left_goes_when_its_job_is_over(
    store: Store, paths: HomePaths, tmp_path: Path
) -> None:
    job = interrupted(store, paths, tmp_path)
    export.tidy(store, paths)
    assert len(leftovers(paths, tmp_path)) == 2
    store.jobs.cancel_queued(job.id)
    export.tidy(store, paths)
    assert leftovers(paths, tmp_path) == []


def test_in_a_home_that_was_made_again_nothing_goes(
    store: Store, paths: HomePaths, tmp_path: Path
) -> None:
    job = interrupted(store, paths, tmp_path)
    store.jobs.cancel_queued(job.id)
    shutil.rmtree(paths.root)
    paths.create()
    (paths.backups / f"export-{job.id}").mkdir()
    export.tidy(store, paths)
    assert len(leftovers(paths, tmp_path)) == 2


def test_while_anything_is_left_beside_the_place_its_folder_says_so(
    store: Store, paths: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = interrupted(store, paths, tmp_path)
    context = Context()
    context.job_id = job.id

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    params = ExportParams(path=str(tmp_path / "out"))
    with monkeypatch.context() as patch:
        patch.setattr(export, "_staged", killed)
        with pytest.raises(KeyboardInterrupt):
            export.run(store, paths, params, context)  # type: ignore[arg-type]
    assert leftovers(paths, tmp_path) == [f"export-{job.id}"]


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_an_attempt_after_one_that_was_killed_when_all_was_there_finds_it_done(
    store: Store, paths: HomePaths, images: list[Any], tmp_path: Path, name: str
) -> None:
    """What the end of an attempt leaves until its job is recorded is what a kill leaves there."""
    context, target = Context(), tmp_path / name
    params = ExportParams(path=str(target))
    (paths.root / images[1].file.path).unlink()
    first = export.run(store, paths, params, context)  # type: ignore[arg-type]
    there = target.stat()
    assert export.run(store, paths, params, context) == first  # type: ignore[arg-type]
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (there.st_ino, there.st_mtime_ns)
    with pytest.raises(InvalidRequest, match="where nothing is yet"):
        export.run(store, paths, params, Context())  # type: ignore[arg-type]
    target.rename(tmp_path / "moved")
    target.mkdir()
    with pytest.raises(InvalidRequest, match="where nothing is yet"):
        export.run(store, paths, params, context)  # type: ignore[arg-type]
    assert list(target.iterdir()) == []
    export.tidy(store, paths)
    assert list(paths.backups.iterdir()) == []


def test_what_is_out_of_reach_is_not_tried_again(
    store: Store, paths: HomePaths, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    job = interrupted(store, paths, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    (tmp_path / "gone").write_text("a file by now")
    store.jobs.cancel_queued(job.id)
    (paths.backups / f"export-{ids.new_id()}").mkdir()
    export.tidy(store, paths)
    assert leftovers(paths, tmp_path) == ["gone"]


def test_a_picture_whose_file_is_gone_is_named(
    run: Any, images: list[Any], tmp_path: Path, paths: HomePaths
) -> None:
    (paths.root / images[1].file.path).unlink()
    assert run(tmp_path / "out").missing == [images[1].file.path]
    assert len(pd.read_parquet(tmp_path / "out" / "images.parquet")) == 5
