"""Run every cell of every notebook and compare what it says with what is saved."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

FOLDER = Path(__file__).parent
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(FOLDER / "sanitize.cfg"))


def main() -> int:
    """The exit code: that of pytest, or 1 if a notebook left processes behind."""
    notebooks = sorted(map(str, FOLDER.glob("*.ipynb")))
    with tempfile.TemporaryDirectory(prefix="mysticanvas-notebooks-") as folder:
        home = Path(folder) / "home"
        code = subprocess.call(
            [sys.executable, "-m", "pytest", "-q", *NBVAL, *notebooks],
            cwd=FOLDER.parent,
            env={**os.environ, "MYSTICANVAS_HOME": str(home)},
        )
        left = _processes_of(home)
    for process in left:
        print(f"left behind: process {process.pid}: {' '.join(process.info['cmdline'])}")
        process.kill()
    return code or int(bool(left))


def _processes_of(home: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(str(home)) for word in process.info["cmdline"] or [])
    ]


if __name__ == "__main__":
    sys.exit(main())
