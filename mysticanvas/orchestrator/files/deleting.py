"""Deleting pictures, and bringing them back."""

from __future__ import annotations

from pathlib import Path

from mysticanvas.contracts.ids import short
from mysticanvas.errors import NotFound
from mysticanvas.store import Store, parts, tombstones


def delete(store: Store, images_folder: Path, image_id: str) -> None:
    """Delete a picture: nothing shows it any more, and its files go when the grace is over.

    Deleting it once more changes nothing.

    Raises:
        InvalidRequest: this is no whole id.
        NotFound: there never was such a picture.
    """
    full = _known(store, image_id)
    if store.images.delete([full]):
        tombstones.add(images_folder, [full])


def restore(store: Store, images_folder: Path, image_id: str) -> None:
    """Bring a deleted picture back; for one that is not deleted, nothing changes.

    Raises:
        InvalidRequest: this is no whole id.
        NotFound: there never was such a picture, or its files are gone.
    """
    full = _known(store, image_id)
    if store.images.restore([full]):
        tombstones.replace(images_folder, lambda ids: ids - {full})
        return
    try:
        store.files.original(full)
    except NotFound:
        raise NotFound(
            f"Image {short(full)} was deleted too long ago: its files are gone."
        ) from None


def _known(store: Store, image_id: str) -> str:
    full = parts.whole_id("id", image_id)
    if not store.images.known([full]):
        raise parts.not_found("image", image_id)
    return full
