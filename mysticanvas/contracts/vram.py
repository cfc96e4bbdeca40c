"""Who has the memory that models are loaded into."""

from __future__ import annotations

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
    holdings: list[Holding] = []
    foreign_mib: float = 0.0
    """What neither is free nor belongs to a worker: other programs, and orchestrators of other
    homes."""
