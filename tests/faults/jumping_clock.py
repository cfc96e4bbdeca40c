"""An orchestrator whose wall clock is set all the time, and that of its workers as well.

Started by a kernel as the orchestrator is, with its arguments.
"""

from __future__ import annotations

import os
import sys

from clocks import jump

from mysticanvas.orchestrator import __main__ as orchestrator
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.orchestrator.supervisor import staff
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.worker import Worker


def jumping(launch: Launch) -> Launch:
    environment = {**launch.environment, "PYTHONPATH": os.environ["PYTHONPATH"]}
    return launch._replace(module="jumping_worker", environment=environment)


def main() -> int:
    start = Orchestrator.start

    def started(self: Orchestrator) -> object:
        # Not before: contracts and routes are made of the real class by now.
        jump()
        return start(self)

    Orchestrator.start = started  # type: ignore[method-assign, assignment]
    staff.Worker = lambda launch, *given: Worker(jumping(launch), *given)  # type: ignore[assignment, misc]
    return orchestrator.main()


if __name__ == "__main__":
    sys.exit(main())
