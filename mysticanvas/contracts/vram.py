"""Who has the memory that models are loaded into."""

from __future__ import annotations

from typing import Literal

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.memory import MemoryPart


class DeviceMemory(Contract):
    """A device's memory as a whole, in MiB."""

    name: str
    """Such as `cuda:NVIDIA GeForce RTX 4090`, or `system memory`."""
    total_mib: float
    free_mib: float


class Holding(Contract):
    """What one worker has."""

    worker: str
    """Its kind."""
    pid: int
    preset: str | None
    """Whose model is loaded, if any."""
    pinned: bool = False
    """Whether the user wants it to stay."""
    mib: float
    """All that the process holds of the device."""
    importing: bool = False
    """Whether it will hold more before it has a model, since its engine is still being imported."""
    parts: list[MemoryPart] = []
    """What of that is known, part by part."""


class VramStatus(Contract):
    """The device at one moment."""

    device: DeviceMemory
    is_budget: bool = False
    """Whether the total is what `memory_budget_mib` allows, rather than all there is."""
    is_gpu: bool = False
    """Whether it is a GPU, where what lies in system memory does not count."""
    holdings: list[Holding] = []
    foreign_mib: float = 0.0
    """What neither is free nor belongs to a worker: other programs, and orchestrators of other
    homes."""


class Unloaded(Contract):
    """Data of a `vram` event: a model, or the context of a language model, has left the device."""

    unloaded: Literal["model", "context"]
    preset: str | None
    """Whose; None if there was a process without a model."""
    worker: str
    """Kind of the one that had it."""
    frees_mib: float
    """What that gives back, by what was known before."""
    reason: str
    """Why, to stand behind `the model was unloaded`."""
    wanted_by: str | None = None
    """The preset whose model room was made for, if that is why."""

    def __str__(self) -> str:
        if self.preset is None:
            what = f"The {self.worker} worker was ended"
        elif self.unloaded == "context":
            what = f"The context of {self.preset} was dropped"
        else:
            what = f"The model of {self.preset} was unloaded"
        return f"{what} {self.reason}, which gives {self.frees_mib:,.0f} MiB back."
