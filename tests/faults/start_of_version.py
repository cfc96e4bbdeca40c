"""An orchestrator that says it is of the version `VERSION`."""

from __future__ import annotations

import os
import sys

from mysticanvas.orchestrator import __main__ as orchestrator, app

if __name__ == "__main__":
    app.__version__ = os.environ["VERSION"]  # type: ignore[attr-defined]  # what the file says
    sys.exit(orchestrator.main())
