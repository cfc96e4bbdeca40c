"""Finds a Chromium to test with; as a script, it exits with 0 if there is one."""

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def find() -> Path | None:
    """The browser that `CHROMIUM` names, else one of the usual ones; None if there is none."""
    wanted = os.environ.get("CHROMIUM")
    names = (wanted,) if wanted else (*NAMES, *APPLICATIONS)
    return next((Path(path) for path in map(shutil.which, names) if path), None)


if __name__ == "__main__":
    sys.exit(0 if find() else "no Chromium here; CHROMIUM can name one")
