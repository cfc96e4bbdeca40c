"""An orchestrator that exits, as a library of C may, when it gets SIGUSR1."""

from __future__ import annotations

import os
import signal
import sys

from mysticanvas.orchestrator import __main__ as orchestrator

if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(3))
    sys.exit(orchestrator.main())
