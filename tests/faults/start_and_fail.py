"""An orchestrator that meets a fault at one stage of its start: `FAULT` is `STAGE:ACTION`.

Started by a kernel as the orchestrator is, with its arguments.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from mysticanvas.orchestrator import __main__ as orchestrator
from mysticanvas.orchestrator.runtime_file import RuntimeFile
from mysticanvas.store import Store, opener

ACTIONS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda: os._exit(3),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
}


def main() -> int:
    stage, action = os.environ["FAULT"].split(":")
    fail = ACTIONS[action]
    if stage == "before lock":
        _around(opener, "lock", before=fail)
    elif stage == "after lock":
        _around(opener, "lock", after=fail)
    elif stage == "after store":
        _around(Store, "raise_high_water", after=fail)
    elif stage == "before runtime file":
        _around(RuntimeFile, "write", before=fail)
    else:
        _around(RuntimeFile, "write", after=fail)
    return orchestrator.main()


def _nothing() -> None:
    pass


def _around(
    owner: Any,
    name: str,
    before: Callable[[], None] = _nothing,
    after: Callable[[], None] = _nothing,
) -> None:
    call = getattr(owner, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        before()
        result = call(*given, **named)
        after()
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    sys.exit(main())
