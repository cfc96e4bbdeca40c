"""Record five pictures in the home that is given, and be killed with them still in the log."""

import os
import signal
import sys
from pathlib import Path

from conftest import Maker

from mysticanvas.settings import HomePaths
from mysticanvas.store import Store

maker = Maker()
store = Store.open(HomePaths.of(Path(sys.argv[1])))
for _ in range(5):
    maker.recorded(store)
    store.raise_high_water()
os.kill(os.getpid(), signal.SIGKILL)
