"""Save presets until the disk is full, say what happened, save one more, and end without closing.

A limit on the size of files stands for the disk: a write fails at it in the same way.
"""

import os
import resource
import signal
import sys
from pathlib import Path

from mysticanvas import logs
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import StoreFull
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

logs.configure(None, "test")  # standard output is for the figures alone
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(HomePaths.of(Path(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
saved = 0
try:
    while True:
        store.presets.save(ImagePreset(name=str(saved), model="m" * 4_000))
        saved += 1
except StoreFull as error:
    listed = len(store.presets.list())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.presets.save(ImagePreset(name="after", model="m"))
    os.write(1, f"{saved} {listed} {error.status}\n".encode())
    os._exit(0)
