"""A fresh kernel: imports, attaches if it is given a home, and says how long that took."""

from __future__ import annotations

import sys
import time

HEAVY = ("torch", "duckdb")
"""What a kernel must never load."""


def main(home: str = "") -> dict[str, object]:
    """Import, and attach if there is a home; the seconds that each took."""
    began = time.perf_counter()
    import mysticanvas

    took = {"import_s": time.perf_counter() - began}
    if home:
        attaching = time.perf_counter()
        with mysticanvas.Canvas(home=home) as canvas:
            took["canvas_s"] = time.perf_counter() - attaching
            took["attached_s"] = time.perf_counter() - began
            canvas.health()
            took["answered_s"] = time.perf_counter() - began
    return {**took, "heavy": [name for name in HEAVY if name in sys.modules]}


if __name__ == "__main__":
    measured = main(*sys.argv[1:])
    from benchmarks import child

    child.answer(**measured)
