"""Who has the memory of the device: put together from what workers and system tell; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from mysticanvas.contracts.health import WorkerStatus
from mysticanvas.contracts.memory import CONTEXT, IN_USE, DeviceKind, Known, MemoryPart
from mysticanvas.contracts.vram import DeviceMemory, Holding, Unloaded, VramStatus
from mysticanvas.vram import llm

CONTEXT_GPU_MIB = 700.0
"""Of a process on a GPU outside of its allocator: a context of 618 and 76 of kernels that have run,
on CUDA and an H200 (benchmarks/results/gpu-nvidia-h200.json); others are taken to need as much
until they are measured."""
KERNELS_GPU_MIB = 80.0
"""Of that, what is not there yet when a context is made and measured."""
_CONVERSATION = (llm.CACHE, llm.COMPUTE, llm.OUTPUT)


def device_kind(workers: Sequence[WorkerStatus]) -> DeviceKind | None:
    """What models are put on: the word of the first worker that has given one, since the first is
    that of the engine that is set. None before.

    Args:
        workers: those of this orchestrator, whether or not they have a process.
    """
    return next((each.device_kind for each in workers if each.device_kind is not None), None)


def status(
    workers: Sequence[WorkerStatus],
    system: DeviceMemory,
    budget_mib: float | None,
    gpu: DeviceMemory | None = None,
    is_pinned: Callable[[WorkerStatus], bool] = lambda _: False,
) -> VramStatus:
    """The device at this moment.

    A GPU is seen with the eyes of a worker that uses it, since in a container nobody else may; what
    is free of it is what the driver says now, if it says anything. Once one was seen, it stays the
    device while nobody sees it: what the workers do not have of it is taken to be free then. Where
    no worker uses one, the device is the system's memory, or as much of it as the user allows.

    Args:
        workers: those of this orchestrator.
        system: the system's memory.
        budget_mib: what all workers together may take of it; None for all there is.
        gpu: what the driver says of the one that models are on, or will be.
        is_pinned: whether the model that a worker holds is to stay.
    """
    seen = _now(_first(worker.device for worker in workers) or gpu, gpu)
    before = _first(worker.gpu for worker in workers)
    on_gpu = (seen or before) is not None
    holdings = [
        _holding(worker, on_gpu, is_pinned(worker)) for worker in workers if worker.pid is not None
    ]
    held = sum(each.mib for each in holdings)
    if seen is None and before is not None:
        seen = before.model_copy(update={"free_mib": max(0.0, before.total_mib - held)})
    if seen is None and budget_mib is not None:
        free = max(0.0, budget_mib - held)
        budget = DeviceMemory(name="memory budget", total_mib=budget_mib, free_mib=free)
        return VramStatus(device=budget, is_budget=True, holdings=holdings)
    device = seen or system
    return VramStatus(
        device=device,
        is_gpu=on_gpu,
        holdings=holdings,
        foreign_mib=max(0.0, device.total_mib - device.free_mib - held),
    )


def context(parts: Sequence[MemoryPart]) -> tuple[float, Known]:
    """What a process takes of a GPU outside of its allocator, once it is at work, in MiB; and how
    that is known.

    Args:
        parts: what it reports.
    """
    made = next((part for part in parts if part.name == CONTEXT), None)
    if made is None:
        return CONTEXT_GPU_MIB, "assumed"
    return made.mib + KERNELS_GPU_MIB, made.known


def left(
    worker: WorkerStatus,
    preset: str | None,
    reason: str,
    what: Literal["context", "model", "process"] = "model",
    wanted_by: str | None = None,
) -> Unloaded:
    """What is told of a model, or of the context of one, that has left the device.

    Args:
        worker: that had it, as it was before.
        preset: whose it was; None if there was a process without a model.
        reason: to stand behind `the model was unloaded`.
        what: has left: a language model's context, a model, or a model with its process, which
            gives back what that has beside it, too.
        wanted_by: the preset whose model room was made for, if that is why.
    """
    return Unloaded(
        unloaded="context" if what == "context" else "model",
        preset=preset,
        worker=worker.kind,
        frees_mib=_gives_back(worker, what),
        reason=reason,
        wanted_by=wanted_by,
    )


def conversation_mib(parts: Sequence[MemoryPart]) -> float:
    """What the context of a language model has of these, which can be dropped alone."""
    return sum(part.mib for part in parts if part.name in _CONVERSATION)


def _gives_back(worker: WorkerStatus, what: str) -> float:
    on_gpu = worker.device is not None or bool(counting(worker.memory_parts, on_gpu=True))
    if what == "process":
        return _mib(worker, on_gpu)
    parts = counting(worker.memory_parts, on_gpu)
    if what == "context":
        return conversation_mib(parts)
    return sum(part.mib for part in parts if part.name not in (CONTEXT, IN_USE))


def _first(seen: Iterable[DeviceMemory | None]) -> DeviceMemory | None:
    return next((each for each in seen if each is not None), None)


def _now(seen: DeviceMemory | None, gpu: DeviceMemory | None) -> DeviceMemory | None:
    """A GPU as a worker saw it some time ago, with what is free of it now."""
    if seen is None or gpu is None or gpu.name != seen.name:
        return seen
    return seen.model_copy(update={"free_mib": min(gpu.free_mib, seen.total_mib)})


def _holding(worker: WorkerStatus, on_gpu: bool, pinned: bool) -> Holding:
    assert worker.pid is not None
    return Holding(
        worker=worker.kind,
        pid=worker.pid,
        preset=worker.preset,
        pinned=pinned,
        mib=_mib(worker, on_gpu),
        # On a GPU, it takes its context with its first model.
        importing=worker.importing and not on_gpu,
        parts=counting(worker.memory_parts, on_gpu),
    )


def _mib(worker: WorkerStatus, on_gpu: bool) -> float:
    """All that a process has of the device."""
    parts = counting(worker.memory_parts, on_gpu)
    known = sum(part.mib for part in parts if part.name != CONTEXT)
    if on_gpu:
        has_context = worker.device is not None or bool(parts)
        return known + context(parts)[0] * has_context
    # The system gives memory when it is first written to, which may be long after it was taken.
    return max(worker.memory, (worker.base or 0.0) + known)


def counting(parts: Sequence[MemoryPart], on_gpu: bool) -> list[MemoryPart]:
    """Those parts that are on the device."""
    return [part for part in parts if _is_on_cpu(part.device) != on_gpu]


def _is_on_cpu(device: str) -> bool:
    """By the names of torch and llama.cpp, which has memory of the host that a GPU can reach."""
    return device.lower().startswith("cpu") or device.endswith("_Host")
