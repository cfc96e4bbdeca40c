"""The store again, from the image files alone: each PNG says what it is."""

from __future__ import annotations

import hashlib
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Set
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from mysticanvas.contracts import picture
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.picture import PictureText
from mysticanvas.errors import StoreError, StoreFull
from mysticanvas.home import HomePaths
from mysticanvas.settings import MAX_SIDE_PX
from mysticanvas.store import deletions, parts, times, tombstones
from mysticanvas.store.image_rows import NewImage
from mysticanvas.store.store import Store

T = TypeVar("T")

BATCH = 500
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for a damaged or hostile header, and the file system for no file."""


class RebuildReport(NamedTuple):
    """What became of the files."""

    added: int
    known: int
    """Pictures that the store had before."""
    skipped: list[str]
    """Files that could not be recorded: path and reason."""
    deleted: int = 0
    """Pictures that the store did not know to be deleted, and that are so now."""
    back: int = 0
    """Pictures that were deleted in the store, and are there now."""
    missing: int = 0
    """Pictures of the store whose files are gone."""

    def remarks(self) -> list[str]:
        """Sentences for people: which pictures are otherwise than the store had them."""
        sentences = {
            "{:,} pictures stay deleted; their files go when the grace is over.": self.deleted,
            "{:,} pictures that had been brought back after a deletion are there.": self.back,
            "{:,} pictures have no file any more: they were removed, or are lost. `mysticanvas "
            "doctor` names them, and with --repair marks them as deleted.": self.missing,
        }
        return [sentence.format(count) for sentence, count in sentences.items() if count]


class _Found(NamedTuple):
    """A picture's place in the order of recording, and its file."""

    created_at: datetime
    job_id: str
    batch_index: int
    image_id: str
    path: Path


class _Header(NamedTuple):
    """What a PNG says before its pixels."""

    text: PictureText
    width: int
    height: int
    mode: str


class _Unfit(Exception):
    """The file cannot be recorded; the text says why."""


def _nobody() -> None:
    """Who waits for no sign."""


def rebuild(
    store: Store, images_folder: Path, home: Path, at_work: Callable[[], None] = _nobody
) -> RebuildReport:
    """Record the pictures of a folder that the store does not know, oldest first.

    No pixel is decoded. Pictures that are known, deleted ones among them, stay as they are, so it
    can be run at any time. Those on the list of deleted pictures are recorded as such.

    Args:
        images_folder: looked through with its subfolders; links are not followed.
        home: what the recorded paths are relative to.
        at_work: called for each file, twice.

    Raises:
        StoreError: the database failed; the batches before are kept.
    """
    return record(store, images_folder.rglob("*.png"), images_folder, home, at_work)


def record(
    store: Store,
    files: Iterable[Path],
    images_folder: Path,
    home: Path,
    at_work: Callable[[], None] = _nobody,
) -> RebuildReport:
    """The same for some files of that folder."""
    gone = tombstones.read(images_folder)
    found, skipped = _survey(_telling(files, at_work), home)
    added = known = deleted = 0
    # Each file is read again when its batch comes: all recipes may be more than fits in memory.
    for start in range(0, len(found), BATCH):
        batch = found[start : start + BATCH]
        taken = store.images.known([each.image_id for each in batch])
        fresh = [each for each in batch if each.image_id not in taken]
        new, unfit = _load(_telling(fresh, at_work), home, gone)
        recorded, refused = _add(store, new)
        buried = sum(image.id in gone for image in recorded)
        added += len(recorded) - buried
        deleted += buried
        known += sum(each.image_id in taken for each in batch)
        skipped += unfit + refused
    store.checkpoint()
    return RebuildReport(added, known, skipped, deleted)


def picture_in(path: Path) -> PictureText | None:
    """What a file says of the picture in it; None if it is none of ours."""
    try:
        return _read(path).text
    except _Unfit:
        return None


def if_demanded(
    store: Store, paths: HomePaths, at_work: Callable[[], None] = _nobody
) -> RebuildReport | None:
    """Rebuild the store of a home if that was demanded, by its making or by a restore, and is not
    done yet, in whichever process; None if not. What was deleted or brought back since is so again.

    Raises:
        StoreError: the database failed; the demand stays.
    """
    if not paths.rebuild_demand.exists():
        return None
    report = rebuild(store, paths.images, paths.root, at_work)
    caught = deletions.catch_up(store, paths.images, paths.root, at_work)
    paths.rebuild_demand.unlink()
    return report._replace(
        deleted=report.deleted + caught.deleted, back=caught.back, missing=caught.missing
    )


def _telling(items: Iterable[T], at_work: Callable[[], None]) -> Iterator[T]:
    for item in items:
        at_work()
        yield item


def _survey(files: Iterable[Path], home: Path) -> tuple[list[_Found], list[str]]:
    """The pictures in the order of their making, and the files that are none."""
    found, skipped = [], []
    for path in files:
        try:
            text = _read(path).text
            created_at, index = times.to_db(text.created_at), text.recipe.batch_index
            found.append(_Found(created_at, text.job_id, index, text.image_id, path))
        except _Unfit as reason:
            skipped.append(_skipped(path, home, reason))
    return sorted(found), sorted(skipped)


def _load(batch: Iterable[_Found], home: Path, gone: Set[str]) -> tuple[list[NewImage], list[str]]:
    """The pictures of a batch, whole, and the files that are not fit for it.

    Args:
        gone: ids of deleted pictures.
    """
    new: dict[str, NewImage] = {}
    unfit = []
    for each in batch:
        try:
            image = _new_image(each.path, home, gone)
            if image.id in new:
                raise _Unfit("another file holds the same picture")
            new[image.id] = image
        except _Unfit as reason:
            unfit.append(_skipped(each.path, home, reason))
    return list(new.values()), unfit


def _add(store: Store, new: list[NewImage]) -> tuple[list[NewImage], list[str]]:
    """Record a batch; what was, and what is told of what the database refused."""
    try:
        store.images.add(new)
    except StoreFull:
        raise
    except StoreError as error:
        if len(new) == 1:
            return [], [f"{new[0].file.path}: {error.detail}"]
        # One bad picture, such as a second one for a place in a batch, costs the others nothing.
        each = [_add(store, [image]) for image in new]
        return [i for done, _ in each for i in done], [line for _, no in each for line in no]
    return new, []


def _new_image(path: Path, home: Path, gone: Set[str]) -> NewImage:
    header = _read(path)
    text = header.text
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != path.stem:
        raise _Unfit("its content is not what its name, a SHA-256, says")
    return NewImage(
        id=text.image_id,
        job_id=text.job_id,
        batch_index=text.recipe.batch_index,
        project=text.project,
        parent=text.parent,
        source=text.source,
        recipe=text.recipe,
        mode=header.mode,
        pixels_sha256=text.pixels_sha256,
        tags=tuple(text.tags),
        file=FileRecord(
            path=path.relative_to(home).as_posix(),
            sha256=digest,
            bytes=path.stat().st_size,
            width=header.width,
            height=header.height,
        ),
        created_at=text.created_at,
        deleted_at=times.now() if text.image_id in gone else None,
    )


def _read(path: Path) -> _Header:
    """The header of a PNG of ours.

    `PngImageFile` rather than `Image.open`: nothing is decoded, so Pillow's limit need not hold.
    """
    # Late: 8 MB for every orchestrator, and hardly one rebuilds anything.
    from PIL.PngImagePlugin import PngImageFile

    try:
        # A pipe would block whoever opens it.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _Unfit("it is not a regular file")
        with path.open("rb") as file, PngImageFile(file) as image:
            text = picture.read(image.info)
            width, height, mode = *image.size, image.mode
    except _UNREADABLE as error:
        raise _Unfit(f"it cannot be read ({error})") from error
    if text is None:
        raise _Unfit("it holds no recipe of ours")
    header = _Header(text, width, height, mode)
    _check(header)
    return header


def _check(header: _Header) -> None:
    """Refuse what is well-formed and still cannot be recorded."""
    text = header.text
    if max(header.width, header.height) > MAX_SIDE_PX:
        raise _Unfit(f"{header.width:,} × {header.height:,} pixels are more than a picture has")
    if not all(map(parts.full_id, filter(None, (text.image_id, text.job_id, text.parent)))):
        raise _Unfit("an id in it is none")
    try:
        _ = text.recipe.hash, times.to_db(text.created_at)
    except ValueError as error:
        raise _Unfit("a number in its recipe is none") from error
    except OverflowError as error:
        raise _Unfit("its time is out of range") from error


def _skipped(path: Path, home: Path, reason: _Unfit) -> str:
    return f"{path.relative_to(home).as_posix()}: {reason}"
