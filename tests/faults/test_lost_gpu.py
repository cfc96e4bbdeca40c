"""A GPU that was there, and that no later process of the worker finds."""

from __future__ import annotations

import os
import queue
from pathlib import Path

import llama_cpp
import pytest
import torch
from house import House

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker

GPU = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=15_000)

pytestmark = [
    pytest.mark.timeout(0),
    pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA"),
]


@pytest.mark.fault("a GPU that is lost between two processes", "said; nothing is drawn on the CPU")
def test_a_gpu_that_is_gone_is_told_and_the_cpu_does_not_stand_in_for_it(
    tmp_path: Path, tiny_sd: Path
) -> None:
    house = House(tmp_path / "home", worker_module="mysticanvas.workers", model=tiny_sd)
    # As a process before has said, whose GPU this machine does not have.
    house.worker._life = house.worker._life._replace(device_kind="cuda", gpu=GPU)
    with house:
        job = house.submit()
        status = house.until(lambda status: status.restarts == 1)
        alert, record = house.alerts[0], house.store.jobs.get(job).record
        assert house.rows() == 0
    assert (alert.kind, alert.worker) == ("worker_restart", "image")
    for words in ("The GPU is gone", "nvidia-smi", "MYSTICANVAS_DEVICE=cpu", "started again"):
        assert words in alert.message
    # Not one that counts against the job, which waits for another process.
    assert record.status in ("queued", "running")
    assert status.device_kind == "cuda"


@pytest.mark.fault("a GPU that is lost between two processes", "said; no layer goes to the CPU")
@pytest.mark.skipif(llama_cpp.llama_supports_gpu_offload(), reason="this llama.cpp finds a GPU")
def test_a_language_model_that_lay_on_a_gpu_that_is_gone_is_not_put_on_the_cpu(
    tmp_path: Path,
) -> None:
    launch = Launch(
        kind="llm",
        arguments=["--engine", "llm", "--images", str(tmp_path), "--parent-pid", str(os.getpid())],
        environment=child_environment(engine_environment(1)),
        log=LogFile(tmp_path / "worker.jsonl"),
    )
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    worker = Worker(launch, Listener(lambda _: None, alerts.put), 5.0)
    worker.start(before="cuda")
    try:
        alert = alerts.get(timeout=120.0)
    finally:
        worker.stop()
    assert (alert.kind, alert.worker) == ("worker_restart", "llm")
    assert "The GPU is gone: llama.cpp" in alert.message
