"""Thumbnails by Pillow alone: the process that ours are compared with."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from benchmarks import child
from mysticanvas.contracts.thumbnails import SIZES
from mysticanvas.workers.thumbnails import WEBP


def make(home: Path, sources: list[str]) -> child.Answer:
    """Write the thumbnails of these pictures, as one would in a script."""
    for source in sources:
        with Image.open(home / source) as picture:
            for size in sorted(SIZES, reverse=True):
                picture.thumbnail((size, size))
                picture.save(home / "bare" / f"{Path(source).stem}-{size}.webp", **WEBP)
    return {"made": len(sources)}


def main(folder: str) -> None:
    """Work to order."""
    home = Path(folder)
    (home / "bare").mkdir(exist_ok=True)
    child.serve(lambda order: make(home, **order))


if __name__ == "__main__":
    main(*sys.argv[1:])
