"""Who has the memory, by what workers and system tell."""

from __future__ import annotations

from typing import Any

from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.contracts.memory import CONTEXT, IN_USE, MemoryPart
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.arbiter import registry
from mysticanvas.orchestrator.arbiter.planning import Situation, Use

SYSTEM = DeviceMemory(name="system memory", total_mib=16_000, free_mib=9_000)
GPU = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=15_000)


def worker(kind: str, memory: float, *parts: tuple[str, float], **members: Any) -> WorkerStatus:
    found = [
        MemoryPart(name=f"weights.{place}", mib=mib, known="exact", device=device)
        for place, (device, mib) in enumerate(parts)
    ]
    given: dict[str, Any] = {
        "kind": kind,
        "pid": 7,
        "state": WorkerState.READY,
        "restarts": 0,
        "memory": memory,
        "memory_parts": found,
    }
    return WorkerStatus(**given | members)


def test_without_a_gpu_the_device_is_the_system_and_a_worker_has_its_process() -> None:
    image, llm = worker("image", 1_500, ("cpu", 1_000)), worker("llm", 0, pid=None)
    seen = registry.status([image, llm], SYSTEM, None)
    assert seen.device == SYSTEM
    assert not seen.is_budget
    [holding] = seen.holdings
    assert (holding.worker, holding.mib) == ("image", 1_500)
    assert [part.mib for part in holding.parts] == [1_000]
    assert seen.foreign_mib == 5_500


def test_what_is_free_of_a_gpu_is_what_the_driver_says_now() -> None:
    """A worker saw it at the end of its last job, and others use it too."""
    image = worker("image", 2_000, ("cuda:0", 5_000), device=GPU)
    now = GPU.model_copy(update={"total_mib": 24_500, "free_mib": 900})
    assert registry.status([image], SYSTEM, None, now).device == GPU.model_copy(
        update={"free_mib": 900}
    )
    another = now.model_copy(update={"name": "cuda:B"})
    assert registry.status([image], SYSTEM, None, another).device == GPU
    empty = now.model_copy(update={"free_mib": 24_400})
    assert registry.status([image], SYSTEM, None, empty).device.free_mib == GPU.total_mib


def test_a_budget_is_what_the_workers_may_take_together() -> None:
    workers = [worker("image", 1_500), worker("llm", 700)]
    seen = registry.status(workers, SYSTEM, 2_500)
    assert seen.is_budget
    assert (seen.device.total_mib, seen.device.free_mib) == (2_500, 300)
    assert seen.foreign_mib == 0
    assert registry.status(workers, SYSTEM, 2_000).device.free_mib == 0


def test_a_gpu_is_what_a_worker_sees_and_memory_of_the_host_does_not_count() -> None:
    image = worker("image", 2_000, ("cuda:0", 5_000), ("cpu", 300), device=GPU)
    llm = worker("llm", 900, ("CUDA0", 3_000), ("CUDA_Host", 64), ("CPU", 100))
    seen = registry.status([image, llm], SYSTEM, 2_500)
    assert (seen.device, seen.is_budget) == (GPU, False)
    # Each with its context.
    assert [holding.mib for holding in seen.holdings] == [5_700, 3_700]
    assert seen.foreign_mib == 0
    before = registry.status([worker("image", 2_000, device=GPU)], SYSTEM, 2_500)
    assert [holding.mib for holding in before.holdings] == [registry.CONTEXT_GPU_MIB]
    assert before.foreign_mib == 9_000 - registry.CONTEXT_GPU_MIB


def test_a_context_counts_as_it_was_measured_and_is_assumed_until_then() -> None:
    given: dict[str, Any] = {"name": CONTEXT, "mib": 410.0, "known": "measured", "device": "cuda"}
    part = MemoryPart(**given)
    assert registry.context([]) == (registry.CONTEXT_GPU_MIB, "assumed")
    assert registry.context([part]) == (410.0 + registry.KERNELS_GPU_MIB, "measured")
    image = worker("image", 2_000, ("cuda:0", 5_000), device=GPU)
    measured = image.model_copy(update={"memory_parts": [*image.memory_parts, part]})
    [holding] = registry.status([measured], SYSTEM, None).holdings
    assert holding.mib == 5_000 + 410 + registry.KERNELS_GPU_MIB
    assert part in holding.parts


def test_before_a_worker_sees_the_gpu_its_driver_is_believed() -> None:
    seen = registry.status([worker("image", 500, device_kind="cuda")], SYSTEM, 2_500, GPU)
    assert (seen.device, seen.is_budget) == (GPU, False)
    assert [holding.mib for holding in seen.holdings] == [0]


def test_a_process_that_imports_will_have_more_of_the_system_and_nothing_more_of_a_gpu() -> None:
    cold = worker("image", 65, importing=True)
    [holding] = registry.status([cold], SYSTEM, 2_500).holdings
    assert (holding.mib, holding.importing) == (65, True)
    assert not registry.status([cold], SYSTEM, None, GPU).holdings[0].importing
    assert not registry.status([worker("image", 400)], SYSTEM, None).holdings[0].importing


def test_what_a_model_takes_counts_before_it_is_written_to() -> None:
    llm = worker("llm", 120, ("CPU", 64), base=85)
    assert registry.status([llm], SYSTEM, 2_500).holdings[0].mib == 85 + 64


def test_the_first_worker_that_says_so_decides_what_models_are_put_on() -> None:
    image, llm = worker("image", 500), worker("llm", 120, device_kind="cuda")
    assert registry.device_kind([image]) is None
    assert registry.device_kind([image, llm]) == "cuda"
    on_cpu = image.model_copy(update={"device_kind": "cpu"})
    assert registry.device_kind([on_cpu, llm]) == "cpu"


def test_a_gpu_stays_the_device_while_nobody_sees_it() -> None:
    gone = worker("image", 0, pid=None, device_kind="cuda", gpu=GPU)
    llm = worker("llm", 900, ("CUDA0", 3_000), ("CPU", 100))
    seen = registry.status([gone, llm], SYSTEM, 2_500)
    assert (seen.is_gpu, seen.is_budget, seen.device.name) == (True, False, GPU.name)
    assert [holding.mib for holding in seen.holdings] == [3_700]
    assert (seen.device.free_mib, seen.foreign_mib) == (24_000 - 3_700, 0)
    # What the driver says is better, and what another worker sees.
    now = GPU.model_copy(update={"free_mib": 18_000})
    assert registry.status([gone, llm], SYSTEM, None, now).device == now
    sees = llm.model_copy(update={"device": now})
    assert registry.status([gone, sees], SYSTEM, None).device == now


def test_what_leaves_gives_back_its_own_and_the_end_of_a_process_what_that_has_beside() -> None:
    context = MemoryPart(name=CONTEXT, mib=410, known="measured", device="cuda:0")
    image = worker("image", 2_000, ("cuda:0", 5_000), ("cpu", 300), device=GPU, preset="sd")
    image = image.model_copy(update={"memory_parts": [*image.memory_parts, context]})
    told = registry.left(image, "sd", "because it was asked for")
    assert (told.unloaded, told.worker, told.frees_mib) == ("model", "image", 5_000)
    [holding] = registry.status([image], SYSTEM, None).holdings
    ended = registry.left(image, "sd", "to make room for chat", "process", "chat")
    assert (ended.unloaded, ended.frees_mib) == ("model", holding.mib)
    assert (ended.preset, ended.wanted_by) == ("sd", "chat")
    # A language model does not see the GPU that it is on.
    cache = MemoryPart(name="kv cache", mib=256, known="measured", device="CUDA0")
    chat = worker("llm", 900, ("CUDA0", 3_000), ("CUDA_Host", 64))
    chat = chat.model_copy(update={"memory_parts": [*chat.memory_parts, cache]})
    assert registry.left(chat, "chat", "", "context").frees_mib == 256
    assert registry.left(chat, "chat", "").frees_mib == 3_256
    assert registry.left(chat, "chat", "", "process").frees_mib == 3_956


def test_without_a_gpu_the_end_of_a_process_gives_all_of_it_back() -> None:
    image = worker("image", 1_500, ("cpu", 1_000), base=400)
    assert registry.left(image, "sd", "").frees_mib == 1_000
    assert registry.left(image, "sd", "", "process").frees_mib == 1_500


def test_what_a_job_uses_on_a_gpu_is_that_of_its_worker_and_stays_behind_its_model() -> None:
    used = MemoryPart(name=IN_USE, mib=2_000, known="measured", device="cuda:0")
    image = worker("image", 2_000, ("cuda:0", 5_000), device=GPU)
    image = image.model_copy(update={"memory_parts": [*image.memory_parts, used]})
    seen = registry.status([image], SYSTEM, None)
    assert seen.holdings[0].mib == 7_000 + registry.CONTEXT_GPU_MIB
    assert seen.foreign_mib == 9_000 - 7_000 - registry.CONTEXT_GPU_MIB
    # What was promised to the job and is taken by now is not missing once more.
    uses = {"image": Use(busy=True, promised_mib=seen.holdings[0].mib + 100)}
    assert Situation(seen, "llm", uses).device.committed_mib == 100
    assert registry.left(image, "sd", "").frees_mib == 5_000
    assert registry.left(image, "sd", "", "process").frees_mib == seen.holdings[0].mib
