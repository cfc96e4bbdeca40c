"""The files that a picture has, on the disk and in the store."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image

from mysticanvas.contracts import thumbnails as where
from mysticanvas.home import HomePaths
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


def files_of(paths: HomePaths, image: NewImage) -> list[Path]:
    names = [image.file.path, where.path(image.id, 256), where.path(image.id, 512)]
    return [paths.root / name for name in names]


def there(paths: HomePaths, image: NewImage) -> list[bool]:
    return [path.exists() for path in files_of(paths, image)]


def total(store: Store) -> int:
    return store.images.count()
