"""What users are told of a worker's end: pure."""

from __future__ import annotations

from datetime import datetime

from mysticanvas.contracts.alerts import Alert
from mysticanvas.orchestrator import ending
from mysticanvas.orchestrator.supervisor import deadlines
from mysticanvas.orchestrator.supervisor.messages import Report


def of(report: Report, kind: str, at: datetime) -> Alert:
    """The alert for an end.

    Args:
        kind: of the worker.
        at: when, in UTC.
    """
    broken = report.cool_down_s is not None
    return Alert(
        kind="worker_breaker" if broken else "worker_restart",
        severity="error" if broken else "warning",
        message=_message(report, kind),
        at=at,
        worker=kind,
        pid=report.pid,
        reason=report.reason,
        signal=report.ending.signal,
        exit_code=report.ending.exit_code,
        last_lines=list(report.ending.last_lines),
    )


def _message(report: Report, kind: str) -> str:
    words = f"The {kind} worker {report.reason}."
    # What it wrote explains an end of its own; before a signal from outside it was all well.
    own = report.ending.signal != "SIGKILL" and not report.ending.ended_for
    words += ending.quoted(report.ending.last_lines) if own else ""
    advice = deadlines.advice([report.ending.ended_for])
    if report.cool_down_s is None:
        when = "" if report.again else " when it is needed"
        return f"{words} It is started again{when}.{advice}"
    return (
        f"{words} That was failure {report.failures} in a row, so it is not started again by "
        f"itself. canvas.workers.reset() starts it at once; after {report.cool_down_s:g} s, so "
        f"does the next job.{advice}"
    )
