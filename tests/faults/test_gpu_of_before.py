"""A GPU that an orchestrator computed on, and that the next one does not find."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mysticanvas.contracts.health import WorkerStatus
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.settings import Settings

GPU = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=15_000)
WAIT_S = 120.0

pytestmark = [
    pytest.mark.timeout(0),
    pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA"),
]


@contextlib.contextmanager
def running(home: Path, before: Any = None, **settings: Any) -> Iterator[Orchestrator]:
    """An orchestrator, in this process, with a real worker.

    Args:
        before: what a process of its worker has said, whose GPU this machine does not have.
    """
    home.mkdir(exist_ok=True)
    settings = {"home": home, "threads": 1, "spare_worker": False, **settings}
    orchestrator = Orchestrator(Settings.load(**settings))
    try:
        orchestrator.paths.create()
        if before is not None:
            orchestrator.worker._life = orchestrator.worker._life._replace(**before)
        orchestrator.start()
        yield orchestrator
    finally:
        orchestrator.close()


def said(orchestrator: Orchestrator) -> WorkerStatus:
    """The worker, once a process of it has an engine or was lost."""
    deadline = time.monotonic() + WAIT_S
    while (status := orchestrator.worker.status).base is None and not status.last_error:
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def kept(orchestrator: Orchestrator) -> None:
    """Wait until it is kept that there was a GPU."""
    deadline = time.monotonic() + WAIT_S
    while orchestrator.computed_on.before("image") != "cuda":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.fault(
    "a GPU that is lost, and an orchestrator that is ended", "the next one says so as well"
)
def test_a_gpu_that_an_orchestrator_before_computed_on_is_not_replaced_by_a_cpu(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with running(home, {"device_kind": "cuda", "gpu": GPU}) as orchestrator:
        kept(orchestrator)
    with running(home) as orchestrator:
        status = said(orchestrator)
        assert "The GPU is gone" in status.last_error
        assert "MYSTICANVAS_DEVICE=cpu" in status.last_error
    # As the error says.
    with running(home, device="cpu"):
        pass
    with running(home) as orchestrator:
        assert said(orchestrator).device_kind == "cpu"
