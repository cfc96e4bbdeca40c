"""Fill a small file system with rows, and go on with it full; then free some of it.

Usage: fill_tmpfs.py FOLDER, an empty file system of 24 MiB of which nothing else is used.
Prints the number of presets that were saved, and the status of the checkpoint that met it full.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from mysticanvas import logs
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import StoreFull
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

logs.configure(None, "test")  # standard output is for the figures alone
folder = Path(sys.argv[1])
ballast = folder / "ballast"
ballast.write_bytes(bytes(18 << 20))
store = Store.open(HomePaths.of(folder / "home"))
saved = 0


def save() -> None:
    global saved
    bulk = {"scheduler_config": {"x": secrets.token_hex(10_000)}}
    store.presets.save(ImagePreset(name=str(saved), model="/m", default_params=bulk))
    saved += 1


def full() -> int:
    """Save until the disk is full; the status of the error."""
    try:
        while True:
            save()
    except StoreFull as error:
        return error.status


assert full() == 507
try:
    store.checkpoint()
    status = 0
except StoreFull as error:
    status = error.status
# Reads go on, and see all that was acknowledged.
assert len(store.presets.list()) == saved
assert full() == 507
ballast.unlink()
save()
store.checkpoint()
save()
assert len(store.presets.list()) == saved
store.close()
with Store.open(HomePaths.of(folder / "home")) as again:
    assert len(again.presets.list()) == saved
os.write(1, f"{saved} {status}\n".encode())
