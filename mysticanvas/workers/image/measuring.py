"""What each phase of a job takes of the device, apart from weights, at next to no cost.

CUDA's allocator keeps the peak itself. On a CPU the tensors are followed, which takes time, so it
is done once for a kind of job: what the same job takes again does not differ by a byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch

from mysticanvas.contracts.mitigations import Offload
from mysticanvas.contracts.tracing import Phase
from mysticanvas.contracts.worker import PhaseUse
from mysticanvas.workers.image import devices, moving, storages
from mysticanvas.workers.image.footprint import Footprint
from mysticanvas.workers.image.job_kinds import Kind, Known
from mysticanvas.workers.image.storages import tensors_of

FOLLOWED_STEPS = 2
"""Steps of the denoiser that are followed. What the first leaves behind, predictions and the
history of a scheduler, is there in the second, which need not read it."""


class Meter(Protocol):
    """Measures the phases of one job."""

    def phase(
        self, phase: Phase, held: Any = (), mitigations: tuple[str, ...] = ()
    ) -> AbstractContextManager[None]:
        """What runs in it is that phase; once more if memory ran out in it.

        Args:
            held: tensors that are kept while it runs, in lists and tuples.
            mitigations: with which it runs.
        """

    def step(self, number: int) -> None:
        """A step of the denoiser, counted from 1, has been done."""

    def apart(self) -> AbstractContextManager[None]:
        """What runs in it, within a phase, is none of it."""

    def uses(self) -> list[PhaseUse]:
        """What was measured; to be asked when the job's tensors are gone."""


class NoMeter:
    """For devices that tell nothing."""

    def phase(
        self,
        phase: Phase,  # noqa: ARG002
        held: Any = (),  # noqa: ARG002
        mitigations: tuple[str, ...] = (),  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        return nullcontext()

    def step(self, number: int) -> None:
        pass

    def apart(self) -> AbstractContextManager[None]:
        return nullcontext()

    def uses(self) -> list[PhaseUse]:
        return []


class CpuMeter:
    """Follows a phase whole, and of the denoiser the first steps.

    Args:
        pipeline: whose weights do not count.
        kind: of the job.
        known: of this process.
        encodes: whether prompts are encoded in a phase of their own; otherwise the same call
            encodes and denoises, and is followed behind the first step.
        offloaded: whether its weights will come and go, so that the pipeline does not have them all
            the time.
    """

    def __init__(
        self, pipeline: Any, kind: Kind, known: Known, encodes: bool, offloaded: bool = False
    ) -> None:
        self._pipeline = pipeline
        # Detached, since a parameter that is moved lets go of the numbers that it had.
        self._weights = [each.detach() for each in _weights(pipeline)] if offloaded else None
        self._encodes = encodes
        self._kind = kind
        self._known = known
        self._uses: list[PhaseUse] = []
        self._footprint: Footprint | None = None
        self._entered = self._followed = False

    @contextmanager
    def phase(
        self, phase: Phase, held: Any = (), mitigations: tuple[str, ...] = ()
    ) -> Iterator[None]:
        key = (self._kind, phase, mitigations)
        if self._known.get(key) is None:
            self._begin(phase, held)
        try:
            yield
        except Exception as error:
            if devices.is_out_of_memory(error):
                peak = 0 if self._footprint is None else self._footprint.peak
                self._uses.append(_ran_out(phase, peak, mitigations))
            raise
        else:
            if self._footprint is not None and self._followed:
                self._known.keep(key, self._footprint.peak)
            taken = self._known.get(key)
            if taken is not None:
                self._uses.append(PhaseUse(phase=phase, bytes=taken, mitigations=mitigations))
        finally:
            self._end()

    def step(self, number: int) -> None:
        if number < FOLLOWED_STEPS:
            self._enter()
        elif number == FOLLOWED_STEPS:
            self._leave()

    @contextmanager
    def apart(self) -> Iterator[None]:
        entered = self._entered
        self._leave()
        try:
            yield
        finally:
            if entered:
                self._enter()

    def uses(self) -> list[PhaseUse]:
        return list(self._uses)

    def _begin(self, phase: Phase, held: Any) -> None:
        dtype: Any = self._kind.dtype
        weights = _weights(self._pipeline) if self._weights is None else self._weights
        self._footprint = Footprint(dtype, weights, torch.get_num_threads())
        self._footprint.hold(tensors_of(held))
        self._followed = False
        if self._encodes or phase != "denoise":
            self._enter()

    def _end(self) -> None:
        self._leave()
        if self._footprint is not None:
            self._footprint.close()
            self._footprint = None

    def _enter(self) -> None:
        if self._footprint is not None and not self._entered:
            self._entered = self._followed = True
            self._footprint.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self) -> None:
        if self._footprint is not None and self._entered:
            self._entered = False
            self._footprint.__exit__(None, None, None)  # type: ignore[no-untyped-call]


class CudaMeter:
    """Reads the allocator's own peaks.

    Args:
        pipeline: whose weights do not count.
        device: that it is on.
        encodes: whether prompts are encoded in a phase of their own; otherwise the same call
            encodes and denoises, and its steps behind the first count.
        offload: how its weights will come and go. What of them is there at once does not count
            either, by the rules that predictions have.
    """

    def __init__(
        self, pipeline: Any, device: torch.device, encodes: bool, offload: Offload | None = None
    ) -> None:
        self._pipeline = pipeline
        self._moved = {} if offload is None else moving.in_phases(pipeline, offload)
        self._device = device
        self._encodes = encodes
        self._before = torch.cuda.memory_allocated(device)
        self._peak = 0
        self._uses: list[PhaseUse] = []

    @contextmanager
    def phase(
        self,
        phase: Phase,
        held: Any = (),  # noqa: ARG002  # is on the device, and so counted
        mitigations: tuple[str, ...] = (),
    ) -> Iterator[None]:
        weights = self._weights_of(phase)
        self._restart()
        self._peak = 0
        try:
            yield
        except Exception as error:
            if devices.is_out_of_memory(error):
                self._read()
                taken = max(0, self._peak - self._before - weights)
                self._uses.append(_ran_out(phase, taken, mitigations))
            raise
        if self._encodes or phase != "denoise":
            self._read()
        if self._peak:
            taken = max(0, self._peak - weights)
            self._uses.append(PhaseUse(phase=phase, bytes=taken, mitigations=mitigations))

    def step(self, number: int) -> None:
        if not self._encodes and number == 1:
            self._restart()
            self._peak = 0
        else:
            self._read()

    @contextmanager
    def apart(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._restart()

    def uses(self) -> list[PhaseUse]:
        # What is left is weights, and what libraries have set aside for good since the beginning.
        left = max(self._before, torch.cuda.memory_allocated(self._device))
        return [
            use if use.at_least else use.model_copy(update={"bytes": max(0, use.bytes - left)})
            for use in self._uses
        ]

    def _weights_of(self, phase: Phase) -> int:
        """Bytes of weights that are there in a phase and not after the job."""
        if phase in self._moved:
            return self._moved[phase]
        return moving.converted(self._pipeline) if phase == "vae_decode" else 0

    def _restart(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def _read(self) -> None:
        self._peak = max(self._peak, torch.cuda.max_memory_allocated(self._device))


def meter(
    pipeline: Any,
    device: torch.device,
    kind: Kind,
    known: Known,
    encodes: bool,
    offload: Offload | None = None,
) -> Meter:
    """What measures a job; to be made before its weights are offloaded.

    Args:
        device: that the pipeline computes on. Asking the pipeline itself takes a millisecond.
        encodes: as for `CudaMeter`.
        offload: how its weights will be.
    """
    if device.type == "cuda":
        return CudaMeter(pipeline, device, encodes, offload)
    if device.type == "cpu":
        return CpuMeter(pipeline, kind, known, encodes, offload is not None)
    return NoMeter()


def _ran_out(phase: Phase, taken: int, mitigations: tuple[str, ...]) -> PhaseUse:
    return PhaseUse(phase=phase, bytes=taken, mitigations=mitigations, at_least=True)


def _weights(pipeline: Any) -> Iterator[torch.Tensor]:
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            yield from part.parameters()
            yield from part.buffers()
            yield from storages.tables_of(part)
