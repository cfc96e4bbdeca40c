"""Have a CHECKPOINT meet a full disk, say what happened, and end without closing.

Usage: fill_disk_at_checkpoint.py HOME seen|unseen. A limit on the size of files stands for the
disk: the database cannot grow, while its log can up to the same size. What is unseen is a limit
that nobody tells beforehand, as some quotas are.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import sys
from pathlib import Path

from mysticanvas import logs
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import StoreError
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, checkpoints

logs.configure(None, "test")  # standard output is for the figures alone
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
paths = HomePaths.of(Path(sys.argv[1]))
Store.open(paths).close()
store = Store.open(paths)
limit = paths.database.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
if sys.argv[2] == "unseen":
    checkpoints.room = lambda *_: 0
saved = 0
while saved == 0 or paths.write_ahead_log.stat().st_size < limit * 0.8:
    bulk = {"scheduler_config": {"x": secrets.token_hex(25_000)}}
    store.presets.save(ImagePreset(name=str(saved), model="/m", default_params=bulk))
    saved += 1
try:
    store.checkpoint()
    code = "none"
except StoreError as error:
    code = error.code
try:
    listed = len(store.presets.list())
except StoreError as error:
    listed = -error.status
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
try:
    store.checkpoint()
    later = "none"
except StoreError as error:
    later = error.code
os.write(1, f"{saved} {code} {listed} {later}\n".encode())
os._exit(0)
