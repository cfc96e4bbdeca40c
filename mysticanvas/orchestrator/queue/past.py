"""What is remembered of the attempts of a job; another orchestrator begins anew."""

from __future__ import annotations

from typing import NamedTuple

from mysticanvas.orchestrator.queue.retry import Failure


class Past(NamedTuple):
    """A job's attempts so far, as far as this process knows."""

    unbegun: int = 0
    """The last ones in a row that never reached a worker."""
    made_way: int = 0
    """Those that ended for a job that somebody waits for."""

    def after(self, failure: Failure) -> Past:
        """It with one more attempt, which ended so."""
        return Past(
            unbegun=self.unbegun + 1 if failure.unbegun else 0,
            made_way=self.made_way + (failure is Failure.PREEMPTED),
        )
