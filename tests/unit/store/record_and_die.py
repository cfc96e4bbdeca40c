"""Record five pictures in the home that is given, and be killed with them still in the log."""

import os
import signal
import sys
from pathlib import Path

from mysticanvas.home import HomePaths
from mysticanvas.store import Store

sys.path.insert(0, str(Path(__file__).parents[2]))
from makers import Maker

maker = Maker()
store = Store.open(HomePaths.of(Path(sys.argv[1])))
for _ in range(5):
    maker.recorded(store)
    store.raise_high_water()
os.kill(os.getpid(), signal.SIGKILL)
