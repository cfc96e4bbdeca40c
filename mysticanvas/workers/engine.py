"""What a worker's engine can do: the protocols that every one implements, ours and a plug-in's.

All of them load and unload a model. What they do with it depends on its kind: an `ImageEngine`
makes pictures, a `TextEngine` keeps conversations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from mysticanvas.contracts.llm import Inspection, InspectionOrder
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.contracts.worker import (
    AnyModelRef,
    Finished,
    GenerateTask,
    Kept,
    LLMRef,
    Loaded,
    Made,
    ModelRef,
    Previewed,
    Progressed,
)
from mysticanvas.errors import InvalidRequest

Emit = Callable[[Progressed | Previewed | Made], None]
"""Sends a message to whoever waits for the job; never blocks."""


class Options(NamedTuple):
    """What an engine is told when its process starts."""

    images: Path
    """The folder that pictures are written to."""
    device: str = "auto"
    """`auto`, `cuda`, `mps` or `cpu`."""
    threads: int = 1
    """CPU threads to compute with."""
    latents: Path | None = None
    """The folder for what could be sampled and not be decoded; None to keep nothing."""
    before: DeviceKind | None = None
    """What the process before this one computed on, which is what `auto` means then; None if there
    was none, or it did not say."""


@dataclass
class Control:
    """How a call that runs is steered: the event loop writes, the engine's thread reads.

    Plain attributes, since each is a single assignment and may be seen a step late.
    """

    cancelled: bool = False
    previews: bool = False


class Engine(Protocol):
    """Everything is called on one thread, but for `models` and `memory`, which are read on any."""

    @property
    def models(self) -> list[str]:
        """Digests of the models that are loaded."""

    def unload(self) -> None:
        """Give back the memory of what is loaded."""


@runtime_checkable
class ReportsMemory(Protocol):
    """An engine that knows what its model holds; not every one does."""

    @property
    def memory(self) -> list[MemoryPart]:
        """The parts of what it holds."""


@runtime_checkable
class SeesDevice(Protocol):
    """An engine that knows what it computes on, and how much a GPU has in all."""

    @property
    def device_kind(self) -> DeviceKind | None:
        """What models are put on; None as long as that is not known."""

    @property
    def device_memory(self) -> DeviceMemory | None:
        """That of the GPU, once a model is on it; to ask before would take some of it."""


@runtime_checkable
class LosesDevice(Protocol):
    """An engine whose device can fail in a way that only another process gets over."""

    def lost_device(self, error: Exception) -> str | None:
        """What an error of a call says of a device that cannot be used any more; None if it can.
        The process ends with that as its last words."""


@runtime_checkable
class WearsOut(Protocol):
    """An engine whose process may come to compute otherwise than a new one."""

    @property
    def is_worn(self) -> bool:
        """Whether that may be so by now; to be read on any thread."""


@runtime_checkable
class ProfilesModels(Protocol):
    """An engine that tells what a model would need, without loading it."""

    def profile(self, order: ProfileOrder) -> TraceAnswer:
        """What a model needs on the device of the engine.

        Raises:
            ModelFileError: it is no model, is damaged, or of an architecture that is not known.
            OutOfMemory: the device has no room for what it is asked.
        """


@runtime_checkable
class InspectsModels(Protocol):
    """An engine that looks into a language model's file, without loading it."""

    def inspect(self, order: InspectionOrder) -> Inspection:
        """What a file would take.

        Raises:
            ModelFileError: it is damaged or refused.
            InvalidRequest: the model cannot have such a context.
        """


@runtime_checkable
class ImageEngine(Engine, Protocol):
    """Makes pictures."""

    def load(self, model: ModelRef) -> Loaded:
        """Put a model on the device, in place of another; keep it if it is there already.

        Raises:
            ModelFileError: the folder is not a model, or is damaged or unsafe.
            OutOfMemory: it does not fit.
        """

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished | Kept:
        """Make the pictures of a task, and say so as they get ready; or keep what they are decoded
        from, if memory runs out.

        Raises:
            JobCancelled: `control.cancelled` was set; it is looked at between steps.
            MystiCanvasError: what else went wrong; the engine stays usable.
        """


@runtime_checkable
class TextEngine(Engine, Protocol):
    """Keeps conversations, each in a context that can be given back without the weights."""

    def load(self, model: LLMRef) -> Loaded:
        """Put a model on the device with a context, in place of another; keep what is there
        already. If that fails, none is left there.

        Raises:
            ModelFileError: the file is damaged, unsafe or no language model.
            InvalidRequest: the model cannot have such a context.
            OutOfMemory: it does not fit.
        """

    def drop_context(self) -> None:
        """Give back the memory of the context; harmless if there is none. The next `load` of the
        same model makes it again."""


def load(engine: Engine, model: AnyModelRef) -> Loaded:
    """Load a model into an engine of its kind.

    Raises:
        InvalidRequest: the engine takes models of another kind.
        MystiCanvasError: as its `load`.
    """
    if isinstance(model, LLMRef):
        return as_text_engine(engine).load(model)
    return as_image_engine(engine).load(model)


def as_image_engine(engine: Engine) -> ImageEngine:
    """The engine, if it makes pictures.

    Raises:
        InvalidRequest: it does not.
    """
    if isinstance(engine, ImageEngine):
        return engine
    raise _incapable("makes no pictures")


def as_text_engine(engine: Engine) -> TextEngine:
    """The engine, if it keeps conversations.

    Raises:
        InvalidRequest: it does not.
    """
    if isinstance(engine, TextEngine):
        return engine
    raise _incapable("runs no language models")


def as_profiler(engine: Engine) -> ProfilesModels:
    """The engine, if it tells what models need.

    Raises:
        InvalidRequest: it does not.
    """
    if isinstance(engine, ProfilesModels):
        return engine
    raise _incapable("does not tell what models need")


def as_inspector(engine: Engine) -> InspectsModels:
    """The engine, if it looks into files of language models.

    Raises:
        InvalidRequest: it does not.
    """
    if isinstance(engine, InspectsModels):
        return engine
    raise _incapable("looks into no files of language models")


def _incapable(lacks: str) -> InvalidRequest:
    return InvalidRequest(
        f"This worker {lacks}.",
        parameter="kind",
        allowed="requests of the worker's own kind",
        hint="Ask a worker of the other kind.",
    )


def create(kind: str, options: Options, plugins: str) -> Engine:
    """Import and make the engine of a kind, which takes seconds where it imports a framework.

    Args:
        plugins: which plug-ins may bring it, as `Settings.plugins`.

    Raises:
        InvalidRequest: there is none.
        ImportError: it is not where its plug-in says it is.
    """
    # Here, so that the worker answers before it.
    from mysticanvas.plugins import loading

    engine: Engine = loading.import_path(loading.engine(kind, plugins).path)(options)
    return engine
