"""Measurements beside predictions: deviations, corrections and what is said of them. Pure.

A deviation is predicted / measured - 1: below zero, too little was predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.gpu.forecast import Forecast, activations_of, forecast
from benchmarks.gpu.points import Point
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.vram.calibration import Calibration, Measured, calibrate
from mysticanvas.vram.image import Surroundings

Key = tuple[str, str]
"""Model and phase: what a correction is learned for."""


class Seen(NamedTuple):
    """What was measured at a point, in bytes."""

    phases: dict[str, int]
    """Phase -> most that was given out."""
    reserved: int | None
    """Most that the allocator had reserved."""
    device: int | None
    """Most that the device lacked more than before the process came."""

    @property
    def allocated(self) -> int:
        return max(self.phases.values())


class Guess(NamedTuple):
    """What was predicted for a point, in bytes."""

    made: Forecast
    reserved: int | None
    device: int | None


class Spread(NamedTuple):
    """Deviations in percent."""

    n: int
    mean: float
    """Of their sizes, whichever their sign."""
    worst: float
    """The largest one, with its sign."""


def seen(answer: Mapping[str, Any], before: int | None, on_cpu: bool) -> Seen:
    """The measurement of a process's answer.

    Args:
        before: bytes that the device lacked without the process.
        on_cpu: whether pictures were decoded on the CPU, so that this phase tells nothing.
    """
    phases = {
        name: peaks
        for name, peaks in answer["phases"].items()
        if name != "vae_decode" or not on_cpu
    }
    all_phases = answer["phases"].values()
    reserved = [peaks["reserved"] for peaks in all_phases if "reserved" in peaks]
    device = [peaks["device"] for peaks in all_phases if "device" in peaks]
    return Seen(
        {name: peaks["allocated"] for name, peaks in phases.items()},
        max(reserved, default=None),
        max(device) - before if device and before is not None else None,
    )


def deviation(predicted: float | None, measured: float | None) -> float | None:
    """In percent; None if one of them is not known."""
    if predicted is None or not measured:
        return None
    return (predicted / measured - 1) * 100


def corrections(
    guesses: Mapping[Point, Guess], measured: Mapping[Point, Seen], fitted: Iterable[Point]
) -> dict[Key, Calibration]:
    """What measurements of some points say about predictions of their models' phases."""
    found: dict[Key, list[Measured]] = {}
    for point in fitted:
        if point in measured and point in guesses:
            made = guesses[point].made
            for phase, actual in activations_of(measured[point].phases, made).items():
                pair = Measured(made.activations[phase], actual)
                found.setdefault((point.model, phase), []).append(pair)
    return {key: calibrate(pairs) for key, pairs in found.items()}


def corrected(
    profile: ImageProfile,
    point: Point,
    around: Surroundings,
    calibrations: Mapping[Key, Calibration],
) -> Forecast:
    """The prediction of a point with the corrections of its model."""
    factors: Any = {
        phase: found.factor
        for (model, phase), found in calibrations.items()
        if model == point.model
    }
    return forecast(profile, point, around, factors)


def row(guess: Guess, found: Seen, better: Forecast) -> dict[str, Any]:
    """Deviations of a point in percent, and whether the product's margin was enough."""
    activations = activations_of(found.phases, guess.made)
    return {
        "allocated": deviation(guess.made.allocated, found.allocated),
        "calibrated": deviation(better.allocated, found.allocated),
        "reserved": deviation(guess.reserved, found.reserved),
        "device": deviation(guess.device, found.device),
        "planned": deviation(guess.made.total, found.device),
        "phases": {
            phase: deviation(guess.made.phases.get(phase), size)
            for phase, size in found.phases.items()
        },
        "activations": {
            phase: deviation(guess.made.activations[phase], size)
            for phase, size in activations.items()
        },
        "activations_calibrated": {
            phase: deviation(better.activations[phase], size)
            for phase, size in activations_of(found.phases, guess.made).items()
        },
        "beyond_safety": found.allocated > guess.made.allocated + guess.made.safety,
        "beyond_plan": None if found.device is None else found.device > guess.made.total,
    }


def spread(deviations: Iterable[float | None]) -> Spread | None:
    """Of those that are known; None if none is."""
    known = [each for each in deviations if each is not None]
    if not known:
        return None
    mean = sum(map(abs, known)) / len(known)
    return Spread(len(known), mean, max(known, key=abs))


SINGLE = ("allocated", "calibrated", "reserved", "device", "planned")
BY_PHASE = ("phases", "activations", "activations_calibrated")


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Spreads of the deviations of some points, and how many went beyond a margin."""
    found: dict[str, Any] = {"points": len(rows)}
    for name in SINGLE:
        found[name] = _json(spread(each[name] for each in rows))
    for name in BY_PHASE:
        phases = dict.fromkeys(phase for each in rows for phase in each[name])
        found[name] = {
            phase: _json(spread(each[name].get(phase) for each in rows)) for phase in phases
        }
    for name in ("beyond_safety", "beyond_plan"):
        known = [each[name] for each in rows if each[name] is not None]
        found[name] = sum(known) if known else None
    return found


def _json(found: Spread | None) -> dict[str, Any] | None:
    return None if found is None else found._asdict()
