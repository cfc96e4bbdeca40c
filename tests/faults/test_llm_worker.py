"""The worker of language models, lost while it looks into a file or loads it: who waits is told,
and the next one does it."""

from __future__ import annotations

import os
import queue
from pathlib import Path
from typing import Any

import pytest
from ends import HOW, LONG, SHORT

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.llm import ContextParams, InspectionOrder
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.logs.file import LogFile
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


@pytest.mark.timeout(0)
@pytest.mark.parametrize("call", ["inspect", "load"])
@pytest.mark.parametrize("problem", ["kill", "segv", "exit", pytest.param("stop", marks=LONG)])
def test_one_that_is_lost_over_a_model_is_followed_by_one_that_has_it(
    tmp_path: Path, faults: Any, tiny_llm: Path, problem: str, call: str
) -> None:
    arguments = ["--engine", "llm", "--images", str(tmp_path), "--device", "cpu", "--threads", "1"]
    fault = {"FAULT": f"{call}:{problem}", "FAULT_MET": str(tmp_path / "met")}
    path = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
    launch = Launch(
        kind="llm",
        arguments=[*arguments, "--parent-pid", str(os.getpid())],
        environment=child_environment({**engine_environment(1), **fault, "PYTHONPATH": path}),
        log=LogFile(tmp_path / "worker.jsonl"),
        module="failing_llm_worker",
    )
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    worker = Worker(launch, Listener(lambda _: None, alerts.put), 5.0, SHORT)
    worker.start(on_demand=True)
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
