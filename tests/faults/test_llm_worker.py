"""The worker of language models, lost while it looks into a file or loads it, or idle: who waits is
told, and the next one does it."""

from __future__ import annotations

import os
import queue
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from ends import HOW, LONG, SHORT

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.llm import ContextParams, InspectionOrder
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor import breaker
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.lease import Lease
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker

WAIT_S = 120.0


def asked(lease: Lease, call: str, model: Path) -> object:
    """What a process says of a model."""
    if call == "inspect":
        with lease.relied_on():
            return lease.client.inspect(InspectionOrder(path=str(model))).model.architecture
    lease.begun(Held("digest", "tiny"))
    context = ContextParams(n_ctx=256)
    return lease.client.load(LLMRef(path=str(model), digest="digest", context=context)).dtype


def worker_that(meets: str, folder: Path, alerts: queue.SimpleQueue[Alert]) -> Worker:
    """A worker whose first process meets a fault once the call comes that this names."""
    arguments = ["--engine", "llm", "--images", str(folder), "--device", "cpu", "--threads", "1"]
    fault = {"FAULT": meets, "FAULT_MET": str(folder / "met")}
    path = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
    launch = Launch(
        kind="llm",
        arguments=[*arguments, "--parent-pid", str(os.getpid())],
        environment=child_environment({**engine_environment(1), **fault, "PYTHONPATH": path}),
        log=LogFile(folder / "worker.jsonl"),
        module="failing_llm_worker",
    )
    worker = Worker(launch, Listener(lambda _: None, alerts.put), 5.0, SHORT)
    worker.start(on_demand=True)
    return worker


@pytest.mark.timeout(0)
@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGSTOP], ids=lambda how: how.name)
def test_an_idle_one_is_replaced(
    tmp_path: Path,
    few: int,
    seldom: int,
    faults: Any,
    tiny_llm: Path,
    how: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It is lost again and again here, and no breaker is to end that.
    monkeypatch.setattr(breaker, "MAX_FAILURES", 1000)
    monkeypatch.setattr(breaker, "FIRST_S", 0.001)
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    worker = worker_that("unload:exit", tmp_path, alerts)
    try:
        for number in range(1, 1 + (seldom if how is signal.SIGSTOP else few)):
            with faults.inject(f"{how.name} of the idle llm worker", "told; another one is ready"):
                assert asked(worker.lease(WAIT_S), "inspect", tiny_llm) == "llama"
                pid = worker.status.pid
                assert pid is not None
                os.kill(pid, how)
                alert = alerts.get(timeout=WAIT_S)
                assert (alert.kind, alert.worker, alert.pid) == ("worker_restart", "llm", pid)
                # A process that is stopped takes no SIGTERM.
                assert alert.signal == ("SIGKILL" if how is signal.SIGSTOP else how.name)
                assert not psutil.pid_exists(pid)
                assert asked(worker.lease(WAIT_S), "inspect", tiny_llm) == "llama"
                assert (worker.status.restarts, worker.status.state) == (number, "ready")
    finally:
        worker.stop()
    assert worker.status.state == "stopped"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("call", ["inspect", "load"])
@pytest.mark.parametrize("problem", ["kill", "segv", "exit", pytest.param("stop", marks=LONG)])
def test_one_that_is_lost_over_a_model_is_followed_by_one_that_has_it(
    tmp_path: Path, faults: Any, tiny_llm: Path, problem: str, call: str
) -> None:
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    worker = worker_that(f"{call}:{problem}", tmp_path, alerts)
    outcome = "told in words; the next one does it"
    with faults.inject(f"{problem} of the llm worker at {call}", outcome):
        try:
            with pytest.raises(WorkerLost):
                asked(worker.lease(WAIT_S), call, tiny_llm)
            alert = alerts.get(timeout=WAIT_S)
            assert (alert.kind, alert.worker) == ("worker_restart", "llm")
            assert (alert.signal, alert.exit_code) == HOW[problem]
            assert asked(worker.lease(WAIT_S), call, tiny_llm) in ("llama", "f16")
            assert worker.status.restarts == 1
        finally:
            worker.stop()
