"""A worker that breaks off, garbles or never gives an answer beside a job is ended as well."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from house import TESTS
from tasks import as_it_comes

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.llm import AttentionLayer, Inspection, LanguageModel
from mysticanvas.contracts.presets import LLMPreset
from mysticanvas.contracts.vram import DeviceMemory, Unloaded, VramStatus
from mysticanvas.environment import child_environment
from mysticanvas.errors import Conflict, WorkerCrashed
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.language import LanguageModels
from mysticanvas.orchestrator.queue import dispatcher as dispatching
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.supervisor import client
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.orchestrator.supervisor.seams import Seams
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.store import Store

WAIT_S = 30.0
HOW = {
    "close": "broke off its answer",
    "garble": "answered what no worker answers",
    "hang": "did not answer in time",
}
"""How an answer is lost, and what is said of the worker then."""
LOST = pytest.mark.parametrize(("how", "words"), HOW.items())
INSPECTION = Inspection(
    model=LanguageModel(
        architecture="llama",
        layers=(AttentionLayer(kv_heads=1, key_length=32, value_length=32),),
        embedding=32,
        context_length=64,
        dtype="q8_0",
        vocabulary=32,
        input_bytes=1,
        layer_bytes=(1,),
        output_bytes=1,
    ),
    devices=["CPU"] * 2,
    buffers=[[]],
).model_dump(mode="json")
Rude = Callable[..., Worker]


@pytest.fixture
def alerts() -> list[Alert]:
    return []


@pytest.fixture
def rude(tmp_path: Path, alerts: list[Alert], monkeypatch: pytest.MonkeyPatch) -> Iterator[Rude]:
    """A worker that answers calls as it is told, once it is ready."""
    monkeypatch.setattr(client, "_FREE_S", 0.2)
    monkeypatch.setattr(client, "_INSPECT_S", 0.2)
    started: list[Worker] = []

    def rude(answers: dict[str, Any]) -> Worker:
        told = {"RUDE_ANSWERS": json.dumps(answers)}
        launch = Launch(
            kind="llm",
            arguments=["--parent-pid", str(os.getpid())],
            environment=child_environment({"PYTHONPATH": str(TESTS), **told}),
            log=LogFile(tmp_path / "worker.jsonl"),
            module="rude_worker",
        )
        listener = Listener(lambda _: None, alerts.append)
        worker = Worker(launch, listener, 5.0, seams=Seams(free_mib=lambda: 9000.0))
        started.append(worker)
        worker.start()
        worker.lease(WAIT_S)
        return worker

    yield rude
    for worker in started:
        worker.stop()


def assert_replaced(worker: Worker, before: int | None, alerts: list[Alert], words: str) -> None:
    """That the process is gone, why it is, and that nobody has to wait for another."""
    assert before is not None
    assert not psutil.pid_exists(before)
    worker.lease(WAIT_S)
    assert [alert.pid for alert in alerts] == [before]
    assert words in alerts[0].message
    assert worker.status.state is WorkerState.READY
    assert worker.status.preset is None


def language_models(worker: Worker, store: Store, tmp_path: Path) -> LanguageModels:
    """With one preset, `chat`, that nothing is in the way of."""
    (tmp_path / "a.gguf").write_bytes(b"weights")
    store.llm_presets.save(LLMPreset(name="chat", model=str(tmp_path / "a.gguf"), n_ctx=32))
    device = DeviceMemory(name="system", total_mib=64_000, free_mib=64_000)
    arbiter = Arbiter([worker], lambda: VramStatus(device=device), free_mib=lambda: 64_000)
    return LanguageModels(store, arbiter, worker)


# A load takes as long as it takes: its deadline is that of a job.
@pytest.mark.parametrize(
    ("call", "how"),
    [
        *(("POST /v1/inspect", how) for how in HOW),
        *(("POST /v1/load", how) for how in HOW if how != "hang"),
    ],
)
def test_a_language_model_whose_answer_is_lost_leaves_no_worker_behind(
    rude: Rude, store: Store, tmp_path: Path, alerts: list[Alert], call: str, how: str
) -> None:
    worker = rude({"POST /v1/inspect": INSPECTION, call: how})
    models, before = language_models(worker, store, tmp_path), worker.status.pid
    with pytest.raises(WorkerCrashed, match="'chat' is not there"):
        models.ensure("chat")
    assert_replaced(worker, before, alerts, HOW[how])


def test_one_that_is_refused_keeps_its_worker(
    rude: Rude, store: Store, tmp_path: Path, alerts: list[Alert]
) -> None:
    worker = rude({"POST /v1/inspect": INSPECTION, "POST /v1/load": "refuse"})
    models, before = language_models(worker, store, tmp_path), worker.status.pid
    with pytest.raises(Conflict):
        models.ensure("chat")
    worker.lease(WAIT_S)
    assert (worker.status.pid, worker.status.preset, alerts) == (before, None, [])


@LOST
def test_a_model_counts_as_given_back_when_its_process_is_gone(
    rude: Rude, transitions: Any, store: Store, bus: Any, alerts: list[Alert], how: str, words: str
) -> None:
    worker = rude({"POST /v1/unload": how})
    unloads: list[Unloaded] = []
    dispatcher = Dispatcher(
        transitions,
        store,
        bus,
        worker,
        admit=as_it_comes,
        feedback=None,  # type: ignore[arg-type]  # of jobs, and there are none
        keep_alive_s=900,
        unloaded=unloads.append,
    )
    lease, before = worker.lease(WAIT_S), worker.status.pid
    dispatcher._holding = dispatching._Holding(Held("digest", "chat"), lease)
    lease.ended(Held("digest", "chat"))
    dispatcher.start()
    dispatcher.unload()
    assert [each.preset for each in unloads] == ["chat"]
    assert_replaced(worker, before, alerts, words)
    dispatcher.stop()


@LOST
def test_a_context_is_not_waited_for_for_ever(rude: Rude, how: str, words: str) -> None:
    worker = rude({"DELETE /v1/context": how})
    with pytest.raises(WorkerLost) as lost:
        worker.drop_context()
    assert lost.value.words == words
    # Whoever asked for it ends the process then, as it does one that refuses.
    assert worker.retire("was ended to make room", WAIT_S)
