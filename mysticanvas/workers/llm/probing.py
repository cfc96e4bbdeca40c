"""What llama.cpp would allocate, asked without allocating it.

A load with `no_alloc` reads the metadata and plans every buffer, which takes milliseconds for a
file of any size. It is the way in which llama.cpp itself finds out what fits (`common/fit.cpp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp

from mysticanvas.contracts.llm import ContextParams
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.errors import InvalidRequest, ModelFileError, OutOfMemory
from mysticanvas.vram import llm
from mysticanvas.workers.llm.listening import Said, buffers, cache_mib, devices, listening
from mysticanvas.workers.model_files import ggml

_TYPES = {kind.name: number for number, kind in ggml.TYPES.items()}


class Probed(NamedTuple):
    """What llama.cpp would do."""

    devices: list[str]
    """Of the layers, and at last of what stands behind them."""
    buffers: list[list[MemoryPart]]
    """Of each context: cache, compute and output."""


def probe(path: Path, contexts: list[ContextParams], n_gpu_layers: int = -1) -> Probed:
    """Where a model's layers would lie, and the buffers of its contexts.

    Args:
        path: of a GGUF file whose header is sound.
        contexts: to be planned, each on its own.
        n_gpu_layers: layers that go to the GPU; -1 for all.

    Raises:
        ModelFileError: llama.cpp refuses the model.
        OutOfMemory: a GPU has no room to look at it.
        InvalidRequest: it refuses a context.
    """
    with _planned_model(path, n_gpu_layers) as (model, places):
        return Probed(places, [_planned_context(model, params, path) for params in contexts])


def cache_type(name: str) -> int:
    """The number that ggml has for a type of the cache."""
    return _TYPES[name]


def context_refused(path: Path, params: ContextParams, said: Said) -> InvalidRequest:
    """The error for a context that llama.cpp does not make for this model."""
    return InvalidRequest(
        f"llama.cpp makes no context for {path.name} with {params}: {said.reason}.",
        parameter="context",
        value=str(params)[:200],
        allowed="what llama.cpp takes for this model",
        hint="Try type_k='f16', type_v='f16' and a smaller n_ctx.",
    )


def no_room_to_look(path: Path) -> OutOfMemory:
    """The error for a device that is too full to plan a model for."""
    return OutOfMemory(
        f"A GPU is too full for llama.cpp to look into {path.name}.",
        hint="Give memory back with canvas.unload(), close what else uses the GPU, or set "
        "n_gpu_layers=0.",
    )


@contextmanager
def _planned_model(path: Path, n_gpu_layers: int) -> Iterator[tuple[Any, list[str]]]:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = n_gpu_layers
    params.no_alloc = True
    # A map of the file would be an allocation, and llama.cpp ends the process over one.
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
    with listening() as said:
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    if model is None and said.ran_out_of_memory:
        raise no_room_to_look(path)
    if model is None:
        raise ModelFileError(f"llama.cpp refuses {path}: {said.reason}.")
    try:
        yield model, devices(said.lines)
    finally:
        llama_cpp.llama_model_free(model)


def _planned_context(model: Any, params: ContextParams, path: Path) -> list[MemoryPart]:
    trained = int(llama_cpp.llama_model_n_ctx_train(model))
    with listening() as said:
        context = llama_cpp.llama_init_from_model(model, _native(params, trained))
    if context is None:
        raise context_refused(path, params, said)
    llama_cpp.llama_free(context)
    told = [
        part for part in buffers(said.lines, "probed") if part.name in (llm.COMPUTE, llm.OUTPUT)
    ]
    # The dummy buffers of a cache that is only planned have no size, and one device is named.
    device = next((part.device for part in told if part.name == llm.COMPUTE), "CPU")
    cache = MemoryPart(name=llm.CACHE, device=device, mib=cache_mib(said.lines), known="probed")
    return [cache, *told]


def _native(params: ContextParams, trained: int) -> Any:
    """The parameters as `llama_cpp.Llama` would fill them in."""
    native = llama_cpp.llama_context_default_params()
    native.n_ctx = params.n_ctx or trained
    native.n_batch = min(native.n_ctx, params.n_batch)
    native.n_ubatch = min(native.n_batch, params.n_ubatch)
    native.type_k, native.type_v = cache_type(params.type_k), cache_type(params.type_v)
    native.flash_attn_type = (
        llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        if params.flash_attn
        else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    native.swa_full = params.swa_full
    return native
