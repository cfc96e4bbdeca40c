"""Which kernel computes attention is asked, kept to for a job, traced and recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tasks import make_task
from torch.nn.functional import scaled_dot_product_attention

from mysticanvas.contracts.tracing import ProfileOrder
from mysticanvas.contracts.worker import GenerateTask, Made
from mysticanvas.workers.image import attention, devices, profiling
from mysticanvas.workers.image.engine import ImageEngine

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def chosen() -> int:
    given = torch.zeros(1, 2, 16, 8)
    return torch._fused_sdp_choice(given, given, given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_cpu_takes_the_kernel_that_was_told(dtype: torch.dtype) -> None:
    assert attention.taken(CPU, dtype) == "flash"
    given = torch.zeros(1, 2, 16, 8, dtype=dtype)
    with torch.profiler.profile() as profiler:
        scaled_dot_product_attention(given, given, given)
    called = {event.key for event in profiler.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in called


def test_where_pytorch_has_no_choice_nothing_is_told() -> None:
    assert attention.taken(torch.device("mps"), torch.float32) is None
    assert attention.traced_as(None) == "flash"
    with attention.fixed(None):
        assert chosen() == 1


@pytest.mark.parametrize(
    ("first", "kernels", "traced"),
    [
        ("cudnn", ["cudnn", "flash", "efficient", "math"], "flash"),
        ("flash", ["flash", "efficient", "math"], "flash"),
        ("efficient", ["efficient", "flash", "math"], "efficient"),
        ("math", ["math", "flash", "efficient"], "math"),
    ],
)
def test_a_job_keeps_to_the_first_kernel_and_falls_back_as_pytorch_does(
    first: Any, kernels: list[str], traced: str
) -> None:
    assert attention.order(first) == kernels
    assert attention.traced_as(first) == traced
    order = torch._C._get_sdp_priority_order()
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    with attention.fixed(first):
        named = [int(attention._KERNELS[each].value) for each in kernels]
        assert torch._C._get_sdp_priority_order()[: len(named)] == named
        assert torch.backends.cuda.cudnn_sdp_enabled() == (first == "cudnn")
        # A VAE that is moved to the CPU is computed as before.
        assert chosen() == 1
    assert torch._C._get_sdp_priority_order() == order
    assert torch.backends.cuda.cudnn_sdp_enabled() == cudnn


def test_a_job_computes_with_the_kernel_that_its_recipe_names(
    engine: ImageEngine,
    run: Callable[[GenerateTask], tuple[list[Any], Any]],
    tiny_sd: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [plain] = [each for each in run(make_task(tiny_sd))[0] if isinstance(each, Made)]
    assert plain.recipe.environment is not None
    assert plain.recipe.environment.attention == "flash"
    orders: dict[str, list[int]] = {}
    assert engine._loaded is not None
    steps = engine._loaded.model.stages
    for name in ("encode", "denoise", "decode"):
        original = getattr(steps, name)

        def noting(*args: Any, name: str = name, original: Any = original) -> Any:
            orders[name] = torch._C._get_sdp_priority_order()
            return original(*args)

        monkeypatch.setattr(steps, name, noting)
    environment = plain.recipe.environment.model_copy(update={"attention": "cudnn"})
    loaded = engine._loaded
    monkeypatch.setattr(
        engine,
        "_loaded",
        loaded._replace(model=loaded.model._replace(environment=environment)),
    )
    [other] = [each for each in run(make_task(tiny_sd))[0] if isinstance(each, Made)]
    assert {name: order[0] for name, order in orders.items()} == dict.fromkeys(orders, 3)
    assert list(orders) == ["encode", "denoise", "decode"]
    assert other.recipe.environment == environment
    # On a CPU none of it makes a difference.
    assert other.pixels_sha256 == plain.pixels_sha256


@pytest.mark.parametrize(("taken", "traced"), [("cudnn", "flash"), ("efficient", "efficient")])
def test_a_worker_traces_the_kernel_of_its_device(
    engine: ImageEngine, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch, taken: str, traced: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(engine, "_device", CUDA)
    monkeypatch.setattr(devices, "has_context", lambda _: True)
    monkeypatch.setattr(devices, "copies_input", lambda _: True)
    monkeypatch.setattr(attention, "taken", lambda *_: taken)
    profiled = profiling.profile
    monkeypatch.setattr(
        profiling, "profile", lambda order: asked.append(order.attention) or profiled(order)
    )
    answer = engine.profile(ProfileOrder(path=str(tiny_sd), dtype="float16"))
    assert asked == [traced]
    assert {key.attention for key in answer.keys} == {traced}
