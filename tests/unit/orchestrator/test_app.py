"""The orchestrator as it is wired, without a process of its own or of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mysticanvas import nvidia
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.orchestrator.supervisor import messages as m
from mysticanvas.orchestrator.supervisor.ending import Ending
from mysticanvas.settings import Settings

GPU = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=15_000)


@pytest.fixture
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Orchestrator]]:
    """Makes orchestrators on a machine whose driver tells of a GPU."""
    monkeypatch.setattr(nvidia, "memory", lambda: GPU)
    made: list[Orchestrator] = []

    def wired(**settings: Any) -> Orchestrator:
        made.append(Orchestrator(Settings(home=tmp_path / "home", **settings)))
        return made[-1]

    yield wired
    for each in made:
        each.listener.close()
        each.store.close()


def test_the_device_is_the_gpu_while_the_image_worker_has_no_process(
    wired: Callable[..., Orchestrator],
) -> None:
    orchestrator = wired()
    assert not orchestrator.memory().is_gpu

    def hear(*messages: m.Message) -> None:
        for message in messages:
            orchestrator.worker._take(message)

    beat = m.Beat(1, False, 900.0, None, device=GPU, device_kind="cuda")
    hear(m.Start(), m.Spawned(1, 2**22 + 1), m.Answered(1), beat)
    hear(m.Retire("was ended to make room for chat"), m.Exited(1, Ending(0)))
    seen = orchestrator.memory()
    assert (seen.is_gpu, seen.device, seen.holdings) == (True, GPU, [])
    # So it is for whoever asks for room next, and for plans of pictures.
    assert orchestrator.arbiter.situation("llm").status == seen
    assert orchestrator.planner.device_kind == "cuda"


def test_a_device_that_is_set_is_known_before_a_worker_says_so(
    wired: Callable[..., Orchestrator],
) -> None:
    orchestrator = wired(device="cuda")
    assert orchestrator.memory().device == GPU
    assert orchestrator.planner.device_kind == "cuda"
