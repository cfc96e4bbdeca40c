"""`python -m benchmarks.gpu.record FOLDER`: keeps the results of a run in the repository.

They become `benchmarks/results/gpu-<device>.json` and `.md`, in place of older ones of that device.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.table import markdown

RESULTS = Path(__file__).parents[1] / "results"


def slug(device: str) -> str:
    """The name of a device as part of a file's name, such as `nvidia-h100-80gb-hbm3`."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "unknown"


def record(folder: Path, target: Path) -> list[Path]:
    """Write the results of a run below `target`; the files.

    Args:
        folder: what `python -m benchmarks.gpu --out` wrote.

    Raises:
        FileNotFoundError: there are no results in it.
    """
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    results["predictions"] = json.loads((folder / "predictions.json").read_text())
    target.mkdir(parents=True, exist_ok=True)
    stem = f"gpu-{slug(results['device']['name'])}"
    files = [target / f"{stem}.json", target / f"{stem}.md"]
    files[0].write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    files[1].write_text(markdown(results))
    return files


def main(argv: Sequence[str] | None = None) -> int:
    """Keep the results, and say where."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.record", description=__doc__)
    parser.add_argument("folder", type=Path, help="where a run wrote its results")
    parser.add_argument("--target", type=Path, default=RESULTS, help="(%(default)s)")
    given = parser.parse_args(argv)
    for path in record(given.folder, given.target):
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
