"""Deleting pictures, and bringing them back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mysticanvas.contracts.ids import short
from mysticanvas.errors import NotFound
from mysticanvas.store import Store, parts, tombstones
from mysticanvas.store.filters import EVERY, Clause


def delete(store: Store, images_folder: Path, image_id: str) -> None:
    """Delete a picture: nothing shows it any more, and its files go when the grace is over.

    Deleting it once more changes nothing.

    Raises:
        InvalidRequest: this is no whole id.
        NotFound: there never was such a picture.
        StoreFull, StoreError: it is hidden, but would be back if the store were built again. To
            delete it once more mends that, and so does the next sweep.
    """
    full = _known(store, image_id)
    with tombstones.CHANGING:
        if not bury(store, images_folder, [full]) and _unlisted(store, images_folder, full):
            tombstones.add(images_folder, [full])


def bury(
    store: Store, images_folder: Path, image_ids: Sequence[str], only: Clause = EVERY
) -> list[str]:
    """Delete pictures, as far as they are there and meet a condition; which were.

    Raises:
        StoreFull, StoreError: as `delete`.
    """
    with tombstones.CHANGING:
        gone = store.images.delete(image_ids, only)
        tombstones.add(images_folder, gone)
    return gone


def restore(store: Store, images_folder: Path, image_id: str) -> None:
    """Bring a deleted picture back; for one that is not deleted, nothing changes.

    Raises:
        InvalidRequest: this is no whole id.
        NotFound: there never was such a picture, or its files are gone.
        StoreFull, StoreError: it could not be done; it is as deleted as before.
    """
    full = _known(store, image_id)
    with tombstones.CHANGING:
        if store.files.path_of(full) is not None:
            store.database.check_in_place()
            tombstones.replace(images_folder, lambda ids: ids - {full})
            store.images.restore([full])
    try:
        store.files.original(full)
    except NotFound:
        raise NotFound(
            f"Image {short(full)} was deleted too long ago: its files are gone."
        ) from None


def _unlisted(store: Store, images_folder: Path, full: str) -> bool:
    """Whether a deleted picture whose file is there is not on the list of such."""
    there = store.files.path_of(full) is not None
    return there and full not in tombstones.read(images_folder)


def _known(store: Store, image_id: str) -> str:
    full = parts.whole_id("id", image_id)
    if not store.images.known([full]):
        raise parts.not_found("image", image_id)
    return full
