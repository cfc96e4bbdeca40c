"""What is said to be moved at once, against what real hooks have there at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import REAL, order
from diffusers.hooks.group_offloading import ModuleGroup
from torch.utils._python_dispatch import TorchDispatchMode

from mysticanvas.contracts.mitigations import OFFLOADS
from mysticanvas.contracts.tracing import TraceOrder
from mysticanvas.workers.image import components, loading, moving, offload, profiling

CPU = torch.device("cpu")
GIB = 1 << 30


class Present(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes of a model's tensors that hold numbers while something computes."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._model = model

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        there = itertools.chain(self._model.parameters(), self._model.buffers())
        size = sum(moving._bytes(each) for each in there if not each.is_meta)
        self.most = max(self.most, size)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def pipeline(tiny_sd: Path) -> Any:
    return loading.load(tiny_sd, CPU, torch.float32)


def run(pipeline: Any) -> None:
    pipeline("x", num_inference_steps=1, width=64, height=64, output_type="latent")


@pytest.mark.parametrize("name", ["unet", "text_encoder"])
def test_layers_are_what_has_numbers_at_once(pipeline: Any, tiny_sd: Path, name: str) -> None:
    part = components.of(TraceOrder(path=str(tiny_sd), dtype="float32")).parts[name]
    model = getattr(pipeline, name)
    with offload.applied(pipeline, "offload_sequential", CPU), Present(model) as present:
        run(pipeline)
    at_once = moving.of(part, "float32").layers
    assert 0 < present.most <= at_once < moving.size(model)
    assert at_once == pytest.approx(present.most, rel=0.05)


@pytest.fixture
def onloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes of the groups that are on the device, after each change of that."""
    there: dict[int, int] = {}
    seen = [0]

    def size(group: Any) -> int:
        of_modules = ((*each.parameters(), *each.buffers()) for each in group.modules)
        tensors = (*itertools.chain(*of_modules), *group.parameters, *group.buffers)
        return sum(moving._bytes(each) for each in {id(each): each for each in tensors}.values())

    real_in, real_out = ModuleGroup.onload_, ModuleGroup.offload_

    def onload(group: Any) -> None:
        real_in(group)
        there[id(group)] = size(group)
        seen.append(sum(there.values()))

    def put_back(group: Any) -> None:
        real_out(group)
        there.pop(id(group), None)

    monkeypatch.setattr(ModuleGroup, "onload_", onload)
    monkeypatch.setattr(ModuleGroup, "offload_", put_back)
    yield seen
    assert there == {}


def test_groups_are_what_is_moved_in_at_once(
    pipeline: Any, tiny_sd: Path, onloaded: list[int]
) -> None:
    part = components.of(TraceOrder(path=str(tiny_sd), dtype="float32")).parts["unet"]
    with offload.applied(pipeline, "offload_group", CPU):
        run(pipeline)
    at_once = moving.of(part, "float32").groups
    # Here, none is on its way while another one computes.
    assert max(onloaded) == at_once / 2 < moving.size(pipeline.unet) / 4


def test_the_profile_for_a_gpu_says_what_is_moved(tiny_sd: Path) -> None:
    found = profiling.profile(order("cuda", "float16", REAL / "sdxl")).profile
    assert found.offloads == OFFLOADS
    unet, vae = found.moved["unet"], found.moved["vae"]
    # Of 4.8 GiB, and of a VAE of 160 MiB.
    assert unet.layers < unet.groups < GIB / 8
    assert vae.layers < GIB / 64 < vae.groups == pytest.approx(160 << 20, rel=0.01)
    assert {*found.moved} == {"text_encoder", "text_encoder_2", "unet", "vae"}
    here = profiling.profile(TraceOrder(path=str(tiny_sd), dtype="float32")).profile
    assert (here.offloads, here.moved) == ((), {})
    asked = order("cuda", "float16", REAL / "sdxl").model_copy(update={"phases": ()})
    assert profiling.profile(asked).profile.moved == {}
