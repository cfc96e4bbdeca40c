"""What a context takes of a GPU, by what driver and allocator say; on numbers of an H200."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mysticanvas import nvidia
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.arbiter import registry
from mysticanvas.workers.image import contexts, devices
from mysticanvas.workers.image.contexts import Readings, taken
from mysticanvas.workers.image.engine import ImageEngine

MIB = 1 << 20
RESULTS = Path(__file__).parents[4] / "benchmarks" / "results" / "gpu-nvidia-h200.json"


@pytest.mark.parametrize(
    ("readings", "mib"),
    [
        # The driver counts what the allocator has, too.
        (Readings(own=620, free_before=None, free_after=None, reserved=2), 618),
        # It knows better than what the whole device lacks.
        (Readings(own=620, free_before=9_000, free_after=4_000, reserved=2), 618),
        (Readings(own=None, free_before=143_000, free_after=142_380, reserved=2), 618),
        (Readings(own=None, free_before=143_000, free_after=None, reserved=2), None),
        (Readings(own=None, free_before=None, free_after=None, reserved=2), None),
        # Somebody else took memory at that moment, or gave it back.
        (Readings(own=None, free_before=9_000, free_after=4_000, reserved=2), None),
        (Readings(own=None, free_before=4_000, free_after=3_990, reserved=2), None),
        (Readings(own=None, free_before=4_000, free_after=9_000, reserved=2), None),
    ],
)
def test_a_context_is_what_the_process_has_or_the_device_lacks(
    readings: Readings, mib: float | None
) -> None:
    assert taken(readings) == mib


def test_what_was_measured_with_its_kernels_is_what_a_process_at_work_has() -> None:
    probes = json.loads(RESULTS.read_text())["probes"]
    free = 143_000.0
    after = free - probes["context"] / MIB - 2
    context = taken(Readings(None, free, after, 2))
    assert context is not None
    at_work = (probes["context"] + probes["libraries_outside"]) / MIB
    assert at_work <= context + registry.KERNELS_GPU_MIB < 1.02 * at_work


def test_a_worker_measures_its_context_once_and_reports_it(
    engine: ImageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = torch.device("cuda")
    free = iter([20_000.0, 19_500.0])
    there: list[bool] = []

    def memory() -> DeviceMemory:
        return DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=next(free))

    engine.unload()
    monkeypatch.setattr(engine, "_device", cuda)
    monkeypatch.setattr(engine, "_context", [])
    monkeypatch.setattr(nvidia, "memory", memory)
    monkeypatch.setattr(nvidia, "own_mib", lambda _: None)
    monkeypatch.setattr(devices, "has_context", lambda _: bool(there))
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: there.append(True))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2 * MIB)
    assert engine.memory == []
    engine._make_context()
    engine._make_context()
    [part] = [each for each in engine.memory if each.name == "context"]
    assert (part.mib, part.known, part.device) == (498, "measured", "cuda")
    assert registry.context([part]) == (498 + registry.KERNELS_GPU_MIB, "measured")


def test_where_nothing_is_told_no_context_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "memory", lambda: None)
    monkeypatch.setattr(nvidia, "own_mib", lambda _: None)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2 * MIB)
    assert contexts.made(torch.device("cuda")) == []


def test_a_process_that_was_refused_a_context_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not devices.has_context(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for there in (False, True):
        monkeypatch.setattr(
            torch._C, "_cuda_hasPrimaryContext", lambda _, there=there: there, raising=False
        )
        assert devices.has_context(torch.device("cuda")) == there
    assert not devices.has_context(torch.device("cpu"))
