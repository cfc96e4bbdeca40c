"""What jobs took of the device's memory, beside what was predicted of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.memory import Known
from mysticanvas.contracts.tracing import Phase

MAX_MEASUREMENTS = 20_000
"""That are kept, the newest ones; some 6,000 jobs."""


class Measurement(Contract):
    """One phase of one job. Sizes are bytes; what was predicted is None where nothing was."""

    job_id: str
    attempt: int
    preset: str
    model: str
    """Digest of its files."""
    key: str
    """Equal for phases of which the same prediction is made but for sizes and batch."""
    run_key: str
    """Equal for jobs that take equally long."""
    phase: Phase
    width: int
    height: int
    num_images: int
    mitigations: tuple[str, ...] = ()
    """With which this phase ran."""
    device: str
    """Such as `cpu` or `cuda:NVIDIA GeForce RTX 4090`."""
    projected: int | None = None
    """Of activations, before any correction."""
    corrected: int | None = None
    """The same with the correction that earlier measurements of the key gave: what was counted
    on."""
    actual: int
    """Of activations, at the peak."""
    at_least: bool = False
    """Whether memory ran out in it, so that it needs more."""
    known: Known = "measured"
    projected_weights: int | None = None
    """Of the whole model, and what its autoencoder takes more while it decodes."""
    weights: int = 0
    """As the worker had them."""
    seconds: float = 0.0
    """That the phase took."""
    run_seconds: float | None = None
    """That the job took, without loading its model; None if it came to no end."""
    created_at: datetime


class JobMemory(Contract):
    """Data of a `vram` event: a job that was measured."""

    job_id: str
    preset: str
    device: str
    projected_mib: float | None
    """Peak of weights and activations, as it was counted on; None where nothing was predicted."""
    actual_mib: float
    phases: tuple[Measurement, ...] = Field(min_length=1)

    @classmethod
    def of(cls, phases: Sequence[Measurement]) -> JobMemory:
        """What the phases of one job come to; at least one."""
        first = phases[0]
        projected = [
            each.corrected + each.projected_weights
            for each in phases
            if each.corrected is not None and each.projected_weights is not None
        ]
        return cls(
            job_id=first.job_id,
            preset=first.preset,
            device=first.device,
            projected_mib=max(projected) / _MIB if projected else None,
            actual_mib=max(each.actual + each.weights for each in phases) / _MIB,
            phases=tuple(phases),
        )


class Accuracy(Contract):
    """How near predictions came, over phases that were measured; shares are of what was taken."""

    device: str | None = None
    preset: str | None = None
    """None for all of them."""
    phases: int
    """That were compared."""
    mean: float
    """Of the deviations without their signs."""
    worst: float
    """The largest deviation; above 0 if more was predicted than was taken."""
    under: float
    """Share of the phases that took more than was predicted."""


_MIB = 1 << 20
