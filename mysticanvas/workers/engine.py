"""What a worker's engine can do: the protocol that every one implements, ours and a plug-in's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from mysticanvas.contracts.worker import (
    Finished,
    GenerateTask,
    Loaded,
    Made,
    ModelRef,
    Previewed,
    Progressed,
)

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


@dataclass
class Control:
    """How a call that runs is steered: the event loop writes, the engine's thread reads.

    Plain attributes, since each is a single assignment and may be seen a step late.
    """

    cancelled: bool = False
    previews: bool = False


class Engine(Protocol):
    """Everything is called on one thread, but for `models`, which is read on any."""

    @property
    def models(self) -> list[str]:
        """Digests of the models that are loaded."""

    def load(self, model: ModelRef) -> Loaded:
        """Put a model on the device, in place of another; keep it if it is there already.

        Raises:
            ModelFileError: the folder is not a model, or is damaged or unsafe.
            OutOfMemory: it does not fit.
        """

    def unload(self) -> None:
        """Give back the memory of what is loaded."""

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished:
        """Make the pictures of a task, and say so as they get ready.

        Raises:
            JobCancelled: `control.cancelled` was set; it is looked at between steps.
            MystiCanvasError: what else went wrong; the engine stays usable.
        """


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
