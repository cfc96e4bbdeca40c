"""A model in llama.cpp: weights that stay, and a context that comes and goes.

A context holds the cache, the compute buffers and the output. Clearing a cache frees nothing, so
giving the memory back means ending the context.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp import _internals

from mysticanvas import logs
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.errors import Conflict, ModelFileError, OutOfMemory
from mysticanvas.vram import llm
from mysticanvas.workers.llm import probing
from mysticanvas.workers.llm.listening import Said, buffers, listening

_log = logs.get(__name__)


class Model:
    """A loaded model, with a context at first.

    Args:
        ref: a file that was vetted.
        dtype: of most of its weights.
        threads: CPU threads to compute with.

    Raises:
        ModelFileError: llama.cpp refuses it.
        OutOfMemory: there is no room for it.
    """

    def __init__(self, ref: LLMRef, dtype: str, threads: int) -> None:
        self.ref = ref
        self.dtype = dtype
        with listening() as said:
            # Any, for its private parts.
            self._llama: Any = _load(ref, threads, said)
        parts = buffers(said.lines)
        self._weights = [part for part in parts if part.name == llm.WEIGHTS]
        self._context = [part for part in parts if part.name != llm.WEIGHTS]

    @property
    def device(self) -> str:
        """Where most of its weights lie."""
        return max(self._weights, key=lambda part: part.mib).device if self._weights else "CPU"

    @property
    def parts(self) -> list[MemoryPart]:
        """What it holds, as llama.cpp tells it."""
        return [*self._weights, *self._context]

    @property
    def llama(self) -> llama_cpp.Llama:
        """The model, to be computed with.

        Raises:
            Conflict: its context was dropped.
        """
        if self._llama._ctx is None:
            raise Conflict(
                f"The context of {Path(self.ref.path).name} was dropped to free memory.",
                hint="Load the model again: its weights are still there, so that is quick.",
            )
        loaded: llama_cpp.Llama = self._llama
        return loaded

    def drop_context(self) -> None:
        """Give back what the context holds; harmless without one. Weights stay."""
        context = self._llama._ctx
        if context is None:
            return
        context.close()
        _forget(self._llama._model, context)
        # What `Llama` keeps of a conversation lies in the context, which is gone.
        self._llama._ctx = None
        self._llama.n_tokens = 0
        self._llama._requires_eval = True
        self._llama._sampler = None
        self._context = []

    def make_context(self) -> None:
        """Have a context as at first; harmless with one.

        Raises:
            OutOfMemory: there is no room for it.
        """
        if self._llama._ctx is not None:
            return
        with listening() as said:
            try:
                self._llama._ctx = _internals.LlamaContext(
                    model=self._llama._model, params=self._llama.context_params
                )
            except ValueError:
                raise _refused(self.ref, said) from None
        self._context = buffers(said.lines)

    def close(self) -> None:
        """Give everything back."""
        self._llama.close()


def _load(ref: LLMRef, threads: int, said: Said) -> llama_cpp.Llama:
    params = ref.context
    try:
        # With `verbose`, or it would send the standard error of the whole process to nowhere
        # meanwhile; what it prints for that does not belong in a log.
        with contextlib.redirect_stderr(io.StringIO()):
            return llama_cpp.Llama(
                ref.path,
                n_gpu_layers=ref.n_gpu_layers,
                n_ctx=params.n_ctx,
                n_batch=params.n_batch,
                n_ubatch=params.n_ubatch,
                n_threads=threads,
                # By default all cores, which on a busy machine takes a hundred times as long.
                n_threads_batch=threads,
                type_k=probing.cache_type(params.type_k),
                type_v=probing.cache_type(params.type_v),
                flash_attn=params.flash_attn,
                swa_full=params.swa_full,
                # A map of the file counts what is repacked for the CPU twice, and its pages come
                # and go as the system likes, so nobody could say what the model holds.
                use_mmap=False,
                verbose=True,
            )
    except ValueError:
        raise _refused(ref, said) from None
    # A chat template that is none, and whatever else the file says that its readers do not foresee.
    except Exception as error:
        _log.warning("model_refused", exc_info=True)
        raise ModelFileError(f"{ref.path} cannot be used: {type(error).__name__}.") from error


def _refused(ref: LLMRef, said: Said) -> Exception:
    if said.ran_out_of_memory:
        return OutOfMemory(
            f"There is no memory for {Path(ref.path).name} with {ref.context}.",
            hint="Try a smaller n_ctx, type_k='q8_0' and type_v='q8_0', or fewer n_gpu_layers.",
        )
    return ModelFileError(f"llama.cpp refuses {ref.path}: {said.reason}.")


def _forget(model: Any, context: Any) -> None:
    """Take a closed context off the list of what ends with the model, or that would grow."""
    ends = model._exit_stack._exit_callbacks
    kept = [end for end in ends if getattr(end[1], "__wrapped__", None) != context.close]
    ends.clear()
    ends.extend(kept)
