"""An export: a new folder or zip that stands without us.

It is the user's alone, since prompts are in it, until he shares it.

Made beside its place under another name, and renamed when it is whole: what is there under the name
that was asked for is complete, and a cancelled or failed export leaves nothing. Its folder inside
`backups/` is there for as long as anything else may be left of it. Before the renaming, that folder
is told what will have been done: so an attempt that follows a kill finds that its job is done.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from mysticanvas import contact_sheet, durable, logs
from mysticanvas.contact_sheet import Figure, Link
from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.exports import ExportParams, ExportReport
from mysticanvas.contracts.params import refused
from mysticanvas.errors import NotFound, StoreFull
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.store import Store
from mysticanvas.store.export import Picture, Snapshot

_log = logs.get(__name__)
PER_PAGE = 200
"""Pictures on a page of the gallery."""
_RESERVE_BYTES = 64 << 20
_MAX_MISSING = 100
_STAGING = "export-"
_DONE = "done.json"
_README = """\
{images} picture(s), exported by MystiCanvas.

index.html          a gallery to open in any browser
images/             the pictures, PNG, each with its recipe inside
images.parquet      a row a picture; `path` is its file in this folder, `recipe` is JSON
image_tags.parquet  which picture (`image` is an id) has which tag
tags.parquet        the tags
recipes.jsonl       a line a picture: its id, its path and everything that decides its pixels

    import pandas
    pandas.read_parquet("images.parquet")

    import duckdb
    duckdb.sql("SELECT prompt, path FROM 'images.parquet' WHERE starred")

All times are UTC.
"""


def check(store: Store, paths: HomePaths, params: ExportParams) -> None:
    """Refuse what cannot be exported as it is asked for.

    Raises:
        InvalidRequest: something is at the path, its folder is not there, or what is given for an
            id is none.
        NotFound: a picture is not in the store, or deleted.
    """
    _check_place(paths, Path(params.path))
    missing = store.images.missing("images", params.ids or [])
    if missing:
        others = f", nor {len(missing) - 1:,} more of those given" if len(missing) > 1 else ""
        raise NotFound(
            f"images: there is no image {missing[0]!r}{others}.",
            hint="Leave it out; if it was deleted, `image.restore()` may bring it back.",
            parameter="images",
            value=missing[0],
        )


def _check_place(paths: HomePaths, path: Path) -> None:
    """Refuse a place where no export can be made.

    Raises:
        InvalidRequest: something is there, its folder is not or may not be written to, or it is
            where the home keeps its own files, which the doctor would take it for.
    """
    if path.exists() or path.is_symlink():
        raise refused("path", str(path), "a path where nothing is yet")
    if not path.is_absolute() or not path.parent.is_dir():
        raise refused("path", str(path), "a path in a folder that exists")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise refused("path", str(path), "a path in a folder that you may write to")
    if paths.owns(path):
        raise refused("path", str(path), f"a path outside of what {paths.root} keeps itself")


def run(store: Store, paths: HomePaths, params: ExportParams, context: JobContext) -> ExportReport:
    """Make the export.

    Raises:
        InvalidRequest: the path is taken or cannot be written to, or what is given for an id is
            none.
        StoreFull: there is no room; says how much it takes, if that is known before.
        JobCancelled: the job is to end.
    """
    target = Path(params.path)
    partial = _partial(target, context.job_id)
    staging = paths.backups / f"{_STAGING}{context.job_id}"
    done = _done_before(staging, target)
    if done is not None:
        return done
    _check_place(paths, target)
    with _explained(paths, target):
        # While its folder is there, or nobody would look for it.
        _remove(partial)
        with _staged(staging), _removed(partial):
            context.progress(0, "tables")
            snapshot = Snapshot(store.database, staging)
            snapshot.write(params.project, params.ids)
            _check_room(target.parent, snapshot.bytes + _RESERVE_BYTES)
            context.check()
            _write_texts(snapshot, staging, context)
            with _opened(partial, is_zip=target.suffix.lower() == ".zip") as export:
                missing = _copy(snapshot, paths.root, export, context)
                for file in sorted(staging.iterdir()):
                    export.add(file.name, file)
            report = ExportReport(
                path=str(target),
                images=snapshot.images,
                bytes=snapshot.bytes,
                missing=missing[:_MAX_MISSING],
            )
            _check_place(paths, target)
            _note(staging, partial, report)
            partial.rename(target)
    return report


class _Done(Contract):
    """What an export will have been once it has its name."""

    device: int
    inode: int
    report: ExportReport


def _note(staging: Path, partial: Path, report: ExportReport) -> None:
    its = partial.stat()
    done = _Done(device=its.st_dev, inode=its.st_ino, report=report)
    (staging / _DONE).write_text(done.model_dump_json(), encoding="utf-8")


def _done_before(staging: Path, target: Path) -> ExportReport | None:
    """What an earlier attempt of this job has done, if it was killed when its export was whole."""
    try:
        done = _Done.model_validate_json((staging / _DONE).read_bytes())
        there = target.lstat()
    except (OSError, ValidationError):
        return None
    is_it = (there.st_dev, there.st_ino) == (done.device, done.inode)
    return done.report if is_it else None


def tidy(store: Store, paths: HomePaths) -> None:
    """Remove what is left of exports whose jobs are over: cancelled while they waited, say, after
    an attempt that was interrupted. In a home that is another's by now, nothing is."""
    if not store.in_place():
        return
    for staging in paths.backups.glob(f"{_STAGING}*"):
        try:
            job = store.jobs.get(staging.name.removeprefix(_STAGING))
            if not job.record.status.final:
                continue
            _remove(_partial(Path(str(job.params["path"])), job.record.id))
        except NotFound:
            pass  # of a job that the database does not know any more
        except OSError:
            # Its folder is gone, say, or may not be written to any more.
            _log.warning("export_left", staging=staging.name, exc_info=True)
        shutil.rmtree(staging, ignore_errors=True)


def _partial(target: Path, job_id: str) -> Path:
    """The name under which an export is made: no longer than a name can be."""
    return target.with_name(f".mysticanvas-export-{job_id}")


@contextlib.contextmanager
def _explained(paths: HomePaths, target: Path) -> Iterator[None]:
    """What the disk refuses, as an error of ours."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        if durable.is_full(error):
            raise StoreFull(
                f"There is no room left for the export to {target}: {what}.",
                hint="Export fewer pictures, or to another disk.",
            ) from error
        if error.filename is not None and paths.owns(Path(error.filename)):
            raise  # It is not the path that is wrong.
        raise refused("path", str(target), f"a path that can be written to ({what})") from error


class _Export(Protocol):
    def add(self, name: str, source: Path) -> None:
        """Put a copy of a file into it, under a name with forward slashes."""


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, name: str, source: Path) -> None:
        for folder in reversed(Path(name).parents):
            (self._path / folder).mkdir(mode=0o700, exist_ok=True)
        file = self._path / name
        file.touch(mode=0o600)
        shutil.copyfile(source, file)


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, source: Path) -> None:
        # Pictures and Parquet are compressed already.
        text = source.suffix in (".html", ".jsonl", ".txt")
        self._archive.write(source, name, zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED)


@contextlib.contextmanager
def _opened(path: Path, is_zip: bool) -> Iterator[_Export]:
    if is_zip:
        path.touch(mode=0o600, exist_ok=False)
        with zipfile.ZipFile(path, "w", strict_timestamps=False) as archive:
            yield _Zip(archive)
    else:
        path.mkdir(mode=0o700)
        yield _Folder(path)


@contextlib.contextmanager
def _staged(folder: Path) -> Iterator[None]:
    """A new folder, of which nothing stays but the note of what was done: until that is recorded,
    when `tidy` takes it."""
    _remove(folder)
    try:
        folder.mkdir(mode=0o700)
        yield
    except BaseException:
        _remove(folder)
        raise
    for file in folder.iterdir():
        if file.name != _DONE:
            file.unlink()


@contextlib.contextmanager
def _removed(path: Path) -> Iterator[None]:
    """What an earlier attempt left there is removed before, and what is left after."""
    _remove(path)
    try:
        yield
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreFull(
            f"The export takes {needed >> 20:,} MiB, and {folder} has {free >> 20:,} MiB free.",
            hint="Export fewer pictures, or to another disk.",
        )


def _copy(snapshot: Snapshot, home: Path, export: _Export, context: JobContext) -> list[str]:
    """Put the pictures into the export; the paths of those that are gone."""
    missing = []
    for place, picture in enumerate(snapshot.pictures()):
        context.check()
        context.progress(place / max(1, snapshot.images), "images")
        if picture.path is None:
            continue
        try:
            export.add(picture.path, home / picture.path)
        except FileNotFoundError:
            missing.append(picture.path)
    return missing


def _write_texts(snapshot: Snapshot, folder: Path, context: JobContext) -> None:
    (folder / "README.txt").write_text(_README.format(images=snapshot.images), encoding="utf-8")
    pictures = snapshot.pictures()
    with (folder / "recipes.jsonl").open("w", encoding="utf-8") as recipes:
        for number in range(1, _pages(snapshot.images) + 1):
            context.check()
            shown = list(itertools.islice(pictures, PER_PAGE))
            recipes.writelines(map(_line, shown))
            page = _page(number, _pages(snapshot.images), shown)
            (folder / _page_name(number)).write_text(page, encoding="utf-8")


def _line(picture: Picture) -> str:
    head = json.dumps({"id": picture.id, "path": picture.path}, ensure_ascii=False)
    return f'{head[:-1]}, "recipe": {picture.recipe_json}}}\n'


def _pages(images: int) -> int:
    return max(1, -(-images // PER_PAGE))


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"index-{number}.html"


def _page(number: int, last: int, pictures: Iterable[Picture]) -> str:
    links = [
        Link(_page_name(other), words)
        for other, words in ((number - 1, "← before"), (number + 1, "after →"))
        if 1 <= other <= last
    ]
    title = "MystiCanvas" if last == 1 else f"MystiCanvas, page {number} of {last}"
    return contact_sheet.page(title, map(_figure, pictures), links)


def _figure(picture: Picture) -> Figure:
    return Figure(picture.path or "", picture.prompt, picture.width, picture.height, picture.recipe)
