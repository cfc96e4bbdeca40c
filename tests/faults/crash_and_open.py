"""Open a store whose process was killed, and look at what was kept of the crash.

Usage: crash_and_open.py HOME, on a file system that clones files. Prints how many databases were
kept, whether one is that of the crash without having taken its room, and whether DuckDB's lock on
the database is still held.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from mysticanvas import logs
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

logs.configure(None, "test")  # standard output is for the answer alone
HERE = Path(__file__).parents[1] / "unit" / "store"
BALLAST = 64 << 20
LOCK = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"

paths = HomePaths.of(Path(sys.argv[1]))
Store.open(paths).close()
killed = subprocess.run([sys.executable, HERE / "record_and_die.py", paths.root], check=False)
assert killed.returncode == -signal.SIGKILL
# Behind what DuckDB uses of the file, so that a copy of it would be seen.
with paths.database.open("ab") as file:
    file.write(os.urandom(BALLAST))
    os.fsync(file.fileno())
left = paths.database.read_bytes()
free = shutil.disk_usage(paths.root).free
with Store.open(paths) as store:
    assert store.images.count() == 5
    kept = list(paths.backups.glob("crash-*.duckdb"))
    # Not opened by this process while DuckDB has it: the clone is another file.
    shared = kept[0].read_bytes() == left and free - shutil.disk_usage(paths.root).free < BALLAST
    other = [sys.executable, "-c", LOCK, str(paths.database)]
    held = subprocess.run(other, stderr=subprocess.DEVNULL, check=False).returncode != 0
os.write(1, f"kept {len(kept)} shared {shared} held {held}\n".encode())
