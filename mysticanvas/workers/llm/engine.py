"""The engine of language models: one loaded model, whose context can be given back on its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import llama_cpp

from mysticanvas import logs
from mysticanvas.contracts.llm import Inspection, InspectionOrder
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.worker import LLMRef, Loaded
from mysticanvas.errors import Conflict, WorkerCrashed
from mysticanvas.workers.engine import Options
from mysticanvas.workers.llm import metadata, vetting
from mysticanvas.workers.llm.model import Model
from mysticanvas.workers.model_files import gguf
from mysticanvas.workers.model_files.unchanged import unchanged

_KINDS: Mapping[str, DeviceKind] = {"cuda": "cuda", "metal": "mps", "mtl": "mps"}
"""What the names of llama.cpp's devices begin with."""
_log = logs.get(__name__)


class LLMEngine:
    """Implements `workers.engine.TextEngine` with llama.cpp.

    Raises:
        WorkerCrashed: there is no GPU any more, and that is what `auto` was before.
    """

    def __init__(self, options: Options) -> None:
        # Only then: to look for GPUs has a library of theirs loaded.
        on_gpu = options.device == "auto" and options.before in ("cuda", "mps")
        if on_gpu and not llama_cpp.llama_supports_gpu_offload():
            raise _gone()
        self._threads = options.threads
        # On a CPU worker nothing goes to a GPU, whatever the reference says.
        self._cpu_only = options.device == "cpu"
        self._model: Model | None = None
        _log.info("engine_ready", threads=options.threads)

    @property
    def models(self) -> list[str]:
        return [] if (model := self._model) is None else [model.ref.digest]

    @property
    def memory(self) -> list[MemoryPart]:
        return [] if (model := self._model) is None else model.parts

    @property
    def device_kind(self) -> DeviceKind | None:
        """What models are put on: by where the one that is loaded lies, since before that
        llama.cpp would have to be asked for its devices. None if it lies on none that is known, or
        in system memory, where another one need not."""
        if self._cpu_only:
            return "cpu"
        return next((kind for part in self.memory if (kind := _kind(part.device))), None)

    @property
    def device_memory(self) -> None:
        """Nothing: what is free of a GPU is told by its driver, or who else is on it."""

    def load(self, model: LLMRef) -> Loaded:
        start = time.perf_counter()
        if self._cpu_only:
            model = model.model_copy(update={"n_gpu_layers": 0})
        loaded = self._ensure(model)
        return Loaded(
            digest=model.digest,
            device=loaded.device,
            dtype=loaded.dtype,
            seconds=time.perf_counter() - start,
        )

    def inspect(self, order: InspectionOrder) -> Inspection:
        layers = 0 if self._cpu_only else order.n_gpu_layers
        return vetting.vet(Path(order.path), order.contexts, layers, mmproj=order.mmproj)

    def unload(self) -> None:
        if self._model is not None:
            self._model.close()
        self._model = None

    def drop_context(self) -> None:
        if self._model is not None:
            self._model.drop_context()

    @property
    def model(self) -> Model:
        """The loaded model.

        Raises:
            Conflict: there is none.
        """
        if self._model is None:
            raise Conflict("No language model is loaded.", hint="Load one first.")
        return self._model

    def _ensure(self, ref: LLMRef) -> Model:
        if self._model is not None and self._model.ref == ref:
            try:
                self._model.make_context()
            except BaseException:
                # As after any other load that fails: whoever asked takes nothing to be there.
                self.unload()
                raise
            return self._model
        # First out, then in: two models at once may not fit.
        self.unload()
        path = Path(ref.path)
        with unchanged(ref.hashed):
            described = metadata.describe(gguf.read(path), path)
            vetting.vet(path, [ref.context], ref.n_gpu_layers, mmproj=ref.mmproj)
            model = Model(ref, described.dtype, self._threads)
        self._model = model
        _log.info("model_loaded", digest=ref.digest, architecture=described.architecture)
        return self._model


def _gone() -> WorkerCrashed:
    return WorkerCrashed(
        f"The GPU is gone: llama.cpp (llama-cpp-python {llama_cpp.__version__}) finds none any "
        "more, on which language models lay before. The CPU does not stand in for it, since it is "
        "many times slower.",
        hint="If the driver does not see it either, as `nvidia-smi` tells, restart the driver or "
        "the machine; if it does, install llama-cpp-python for it again. To compute on the CPU "
        "instead, run `mysticanvas stop`, set MYSTICANVAS_DEVICE=cpu and begin again; set to cuda, "
        "it keeps pictures on the GPU.",
        engineless=True,
    )


def _kind(device: str) -> DeviceKind | None:
    """What kind of device llama.cpp calls so; None for system memory, that which a GPU can reach
    included."""
    if device.endswith("_Host"):
        return None
    return next((kind for name, kind in _KINDS.items() if device.lower().startswith(name)), None)
