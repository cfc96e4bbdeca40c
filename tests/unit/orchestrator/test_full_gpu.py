"""A GPU that is too full to be asked what its library would choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.orchestrator.arbiter.profiles import Batches, Profiles, Subject
from mysticanvas.store import Store
from mysticanvas.workers.engine import Options
from mysticanvas.workers.image import attention, devices
from mysticanvas.workers.image.engine import ImageEngine

CUDA = torch.device("cuda")
GIB = 1 << 30


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """What is free of it, and how often it was tried out; its convolutions copy nothing."""
    gpu = SimpleNamespace(free=GIB - 1, tried=0)

    def tried(_: torch.device) -> bool:
        gpu.tried += 1
        return False

    monkeypatch.setattr(devices, "_copies_input", tried)
    monkeypatch.setattr(devices, "_COPIES_INPUT", {})
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (gpu.free, 24 * GIB))
    return gpu


def test_it_is_tried_out_once_and_only_with_memory_to_spare(gpu: SimpleNamespace) -> None:
    assert devices.copies_input(CUDA) is None
    gpu.free = GIB
    assert devices.copies_input(CUDA) is False
    gpu.free = 0
    assert devices.copies_input(CUDA) is False
    assert gpu.tried == 1


@pytest.mark.fault("a GPU too full to be tried out", "the most is assumed, and asked again later")
def test_what_was_assumed_of_a_full_one_is_not_kept(
    gpu: SimpleNamespace, tmp_path: Path, tiny_sd: Path, store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    engine = ImageEngine(Options(images=tmp_path, device="cpu", threads=1))
    monkeypatch.setattr(engine, "_device", CUDA)
    monkeypatch.setattr(devices, "has_context", lambda _: True)
    monkeypatch.setattr(attention, "taken", lambda *_: "flash")

    def ask(batches: Batches) -> TraceAnswer:
        order = {"path": str(tiny_sd), "dtype": "float32", **batches._asdict()}
        return engine.profile(ProfileOrder.model_validate(order))

    def copies(ask: Callable[[Batches], TraceAnswer] | None = ask) -> set[bool]:
        profile = Profiles(store.profiles).of(subject, [Batches("one", "one")], ask)
        return {each.key.copies_input for each in profile.traced}

    subject = Subject(str(tiny_sd), "digest", "float32", "cuda")
    assert copies() == {True}
    gpu.free = 2 * GIB
    assert copies() == {False}
    gpu.free = 0
    assert copies() == {False}
