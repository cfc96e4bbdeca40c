"""What the jobs of the kind `pull` do: have a process fetch a model from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from mysticanvas import logs
from mysticanvas.contracts.pulls import PullNews, PullOrder, PullParams, PullReport
from mysticanvas.contracts.refusal import refused
from mysticanvas.environment import network_environment
from mysticanvas.errors import WorkerCrashed
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator import hub, library
from mysticanvas.orchestrator.helper import Helper, HelperLost
from mysticanvas.orchestrator.queue.context import Pace

LOSSES = 3
"""Processes that may be lost in a row without a byte between before the job has failed."""
SILENT_S = 60.0
"""Seconds without a word after which a process is taken to hang; one that waits says so."""
_MODULE = "mysticanvas.workers.hub"
_TICK_S = 0.1
_log = logs.get(__name__)


def check(params: PullParams) -> None:
    """Refuse what is no repository.

    Raises:
        InvalidRequest: an id or a revision is none.
    """
    if not hub.is_id(params.repo_id):
        raise refused("repo_id", params.repo_id, '"owner/name" or "owner/name@revision"')
    named = params.repo_id.partition("@")[2]
    if params.revision is not None and named not in ("", params.revision):
        raise refused("revision", params.revision, f"None, or {named!r} as in repo_id")
    if params.revision is not None and not hub.is_id(f"o/n@{params.revision}"):
        raise refused("revision", params.revision, "a branch, a tag or a commit")


def run(params: PullParams, log: LogFile, pace: Pace) -> PullReport:
    """Fetch a model, going on where an earlier attempt was.

    Args:
        log: file for what the process puts out.

    Raises:
        JobCancelled: it was to end; what is there is not fetched again.
        MystiCanvasError: it cannot be had; says why.
    """
    repo_id, _, named = params.repo_id.partition("@")
    order = PullOrder(
        repo_id=repo_id,
        revision=params.revision or named or "main",
        files=params.files,
        cache=str(hub.cache()),
    )
    losses, furthest = 0, -1
    while True:
        process = _Fetching(order, log, pace)
        try:
            report = process.report()
        except HelperLost as lost:
            losses = 1 if process.done > furthest else losses + 1
            furthest = max(furthest, process.done)
            _log.warning("pull_process_lost", repo_id=repo_id, reason=str(lost))
            if losses >= LOSSES:
                raise WorkerCrashed(
                    f"The process that fetches {repo_id!r} was lost {losses} times: {lost}.",
                    hint="Pull again: what is there is not fetched again.",
                ) from lost
            continue
        models = library.find(Path(report.path), "hub")
        return report.model_copy(update={"models": list(models)})


class _Fetching:
    """One process that fetches."""

    def __init__(self, order: PullOrder, log: LogFile, pace: Pace) -> None:
        self._order, self._log, self._pace = order, log, pace
        self.done = 0
        """Bytes that are there."""

    def report(self) -> PullReport:
        helper = Helper(_MODULE, [], _environment(), PullNews, self._log)
        try:
            helper.send(self._order)
            silent_s = 0.0
            while True:
                self._pace.check()
                news = helper.poll(_TICK_S)
                if news is None:
                    # Counted, since the time for which we did not run ourselves is not its own.
                    silent_s += _TICK_S
                    if silent_s > SILENT_S:
                        raise HelperLost(f"it said nothing for {SILENT_S:g} s")
                    continue
                silent_s = 0.0
                if news.problem is not None:
                    raise news.problem.to_error()
                if news.report is not None:
                    return news.report
                self.done = news.done
                self._pace.progress(news.done / max(1, news.total), news.stage)
        finally:
            helper.kill()
            helper.close()


def _environment() -> dict[str, str]:
    return {
        **network_environment(),
        # What comes that way begins anew for each process.
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_VERBOSITY": "error",
        "DO_NOT_TRACK": "1",
    }
