"""A picture by MystiCanvas in a plain script: no notebook, no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks import child
from mysticanvas import Canvas


def draw(canvas: Canvas, arguments: dict[str, Any]) -> child.Answer:
    """Make a picture; the seconds it took, and where it is."""
    began = time.perf_counter()
    image = canvas.generate(**arguments)
    return {"seconds": time.perf_counter() - began, "path": str(image.path)}


def main(home: str) -> None:
    """Attach, then draw to order."""
    with Canvas(home=home) as canvas:
        child.serve(lambda order: draw(canvas, **order))


if __name__ == "__main__":
    main(*sys.argv[1:])
