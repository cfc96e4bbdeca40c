"""Checks of files against rows, both ways.

A row is held against the disk by its path; a file against what rows name, all of which is read
once: to ask for each file costs as much as there are rows.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mysticanvas import durable
from mysticanvas.contracts.picture import PictureText
from mysticanvas.orchestrator.doctor.home import NO_STORE, REPAIR, Found, Home, some
from mysticanvas.orchestrator.files import deleting, sweep
from mysticanvas.store import Store, tombstones
from mysticanvas.store.files import NamedFile
from mysticanvas.store.rebuild import picture_in, record

BATCH = 5_000
FEW = 10
_MOUNTED = "Is a disk not mounted? Nothing was touched; a copy of the images folder helps."


def removals(home: Home, repair: bool) -> Found:
    """Nothing of a swept picture waits to be removed."""
    if home.store is None:
        return NO_STORE
    waiting = home.store.files.doomed(BATCH)
    if waiting and repair:
        sweep.finish(home.store, home.paths.root)
        if not home.store.files.doomed(1):
            return Found("repaired", "Files of deleted pictures were removed.")
    if waiting:
        message = "A sweep was interrupted: files of deleted pictures are still there."
        return Found("problem", message, REPAIR, some(waiting))
    return Found("ok", "No sweep was interrupted.")


def deletions(home: Home, repair: bool) -> Found:
    """Every deleted picture whose file is there is on the list that outlives the database."""
    if home.store is None:
        return NO_STORE
    if home.paths.rebuild_demand.exists():
        # A backup has just come into its place: it is the list that is right.
        return Found("ok", "Not looked at: the next start brings a restored store up to this list.")
    deleted = [original.id for original in home.store.files.deleted(datetime.now(UTC))]
    absent = set(deleted) - tombstones.read(home.paths.images)
    if not absent:
        return Found("ok", f"{len(deleted):,} deleted pictures still have their files.")
    if repair:
        tombstones.add(home.paths.images, absent)
        return Found(
            "repaired", "The list of deleted pictures is complete.", examples=some([*absent])
        )
    message = f"{len(absent):,} deleted pictures are not on the list that outlives the database."
    return Found("problem", message, REPAIR, some([*absent]))


def pictures_without_a_file(home: Home, repair: bool) -> Found:
    """The original of every picture is there."""
    if home.store is None:
        return NO_STORE
    pictures, missing = 0, list[NamedFile]()
    for file in home.store.files.walk():
        if file.kind == "original":
            pictures += 1
            if not (home.paths.root / file.path).is_file():
                missing.append(file)
    if not missing:
        return Found("ok", f"The files of all {pictures:,} pictures are there.")
    message = f"The files of {len(missing):,} of {pictures:,} pictures are gone."
    lost = some([file.id for file in missing])
    if len(missing) > max(FEW, pictures // 2):
        return Found("problem", message, _MOUNTED, lost)
    if repair:
        ids = [file.id for file in missing]
        deleting.bury(home.store, home.paths.images, ids)
        return Found("repaired", f"{message} These pictures are marked as deleted.", "", lost)
    hint = f"canvas.reproduce(id) makes one again. {REPAIR[:-1]} by marking them as deleted."
    return Found("problem", message, hint, lost)


class _Strays(NamedTuple):
    """Image files that no row names, by what is to become of them."""

    new: list[Path]
    """Pictures that the store does not know."""
    spent: list[Path]
    """Of deleted pictures, or second files of pictures whose own file is there."""
    foreign: list[Path]
    """No pictures of ours."""


def image_files_without_a_row(home: Home, repair: bool) -> Found:
    """Every image file is that of a picture."""
    if home.store is None:
        return NO_STORE
    strays = _strays(home, home.store)
    ours = [*strays.new, *strays.spent]
    if not ours and not strays.foreign:
        return Found("ok", "Every image file is that of a picture.")
    if ours and repair:
        report = record(home.store, strays.new, home.paths.images, home.paths.root)
        for path in strays.spent:
            path.unlink(missing_ok=True)
        deleted = f" ({report.deleted} of them as deleted)" if report.deleted else ""
        message = (
            f"{report.added + report.deleted} pictures were recorded{deleted}, "
            f"{len(strays.spent)} files removed."
        )
        if report.skipped:
            hint = "Put a good copy in its place, or remove it."
            return Found("problem", message, hint, some(report.skipped))
        return Found("repaired", message, examples=_names(home, ours))
    if ours:
        message = (
            f"{len(strays.new):,} image files are of pictures that the store does not know, "
            f"{len(strays.spent):,} of deleted ones or of no use."
        )
        hint = f"{REPAIR[:-1]} by recording the former and removing the latter."
        return Found("problem", message, hint, _names(home, ours))
    message = f"{len(strays.foreign):,} files in the images folder are no pictures of ours."
    return Found("warning", message, "They are left alone.", _names(home, strays.foreign))


def unfinished_files(home: Home, repair: bool) -> Found:
    """No file is left that somebody died writing."""
    folders = (home.paths.images, home.paths.thumbs)
    files = itertools.chain.from_iterable(_settled(home, folder) for folder in folders)
    return _remove([path for path in files if path.suffix == durable.TEMPORARY], home, repair)


def thumbnail_files_without_a_row(home: Home, repair: bool) -> Found:
    """Every thumbnail file is that of a picture."""
    if home.store is None:
        return NO_STORE
    return _remove(list(_unnamed(home, home.store, home.paths.thumbs, ".webp")), home, repair)


def thumbnail_rows_without_a_file(home: Home, repair: bool) -> Found:
    """Every thumbnail and whatever else belongs to a picture is there."""
    if home.store is None:
        return NO_STORE
    missing = [
        file.path
        for file in home.store.files.walk()
        if file.kind != "original" and not (home.paths.root / file.path).is_file()
    ]
    if not missing:
        return Found("ok", "Every file that is recorded is there.")
    if repair:
        home.store.files.forget(missing)
        message = f"{len(missing):,} thumbnails that are gone will be made again."
        return Found("repaired", message, examples=some(missing))
    message = f"{len(missing):,} thumbnails are recorded and not there."
    return Found("problem", message, REPAIR, some(missing))


def thumbnails(home: Home, repair: bool) -> Found:
    """Every picture has its thumbnails, or will have."""
    if home.store is None:
        return NO_STORE
    failures = home.store.files.failures()
    if failures and repair:
        home.store.files.forget_failures()
        return Found("repaired", f"{len(failures):,} pictures will be tried again.")
    if failures:
        message = f"{len(failures):,} pictures can have no thumbnail."
        reasons = [f"{image_id}: {reason}" for image_id, reason in failures.items()]
        hint = "`mysticanvas doctor --repair` has them tried again."
        return Found("warning", message, hint, some(reasons))
    missing = sum(1 for _ in home.store.files.without_thumbnails())
    if missing:
        return Found("ok", f"{missing:,} pictures have none yet; they are made in the background.")
    return Found("ok", "Every picture has its thumbnails.")


def _strays(home: Home, store: Store) -> _Strays:
    strays = _Strays([], [], [])
    ours: dict[Path, PictureText] = {}
    for path in _unnamed(home, store, home.paths.images, ".png"):
        text = picture_in(path)
        if text is None:
            strays.foreign.append(path)
        else:
            ours[path] = text
    busy = store.files.unfinished([text.job_id for text in ours.values()])
    known = store.images.known([text.image_id for text in ours.values()])
    for path, text in ours.items():
        # What a job has made is the job's to record.
        if text.job_id in busy:
            continue
        if text.image_id in known:
            kept = store.files.path_of(text.image_id)
            if kept is None or (home.paths.root / kept).is_file():
                strays.spent.append(path)
        else:
            strays.new.append(path)
    return strays


def _unnamed(home: Home, store: Store, folder: Path, suffix: str) -> Iterator[Path]:
    """Files of a folder that no row names."""
    root = home.paths.root
    # A few dozen bytes for each; that two of a home have the same of 64 bits does not happen.
    known = {hash(path) for path in store.files.paths() if path.endswith(suffix)}
    files = (
        (path, name)
        for path in _settled(home, folder)
        if path.suffix == suffix and hash(name := path.relative_to(root).as_posix()) not in known
    )
    while batch := list(itertools.islice(files, BATCH)):
        # Rows may have come while the folder was walked.
        named = store.files.named([name for _, name in batch])
        yield from (path for path, name in batch if name not in named)


def _settled(home: Home, folder: Path) -> Iterator[Path]:
    """Files below a folder that are not just being made. Links are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                if home.settled(path.lstat().st_mtime):
                    yield path
            except FileNotFoundError:
                continue


def _remove(paths: list[Path], home: Home, repair: bool) -> Found:
    if not paths:
        return Found("ok", "There is none.")
    if repair:
        for path in paths:
            path.unlink(missing_ok=True)
        return Found("repaired", f"{len(paths):,} files were removed.")
    return Found("problem", f"{len(paths):,} files are of no use.", REPAIR, _names(home, paths))


def _names(home: Home, paths: list[Path]) -> list[str]:
    return some([path.relative_to(home.paths.root).as_posix() for path in paths])
