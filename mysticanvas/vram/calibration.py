"""What earlier runs say about predictions of the same kind.

A small deviation that repeats is a device's own way, and is made up for. A large one means that the
prediction is wrong about something: it is shown, since fitting it would hide it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

MOST = 0.10
"""The largest correction, as a share."""
RECENT = 20
"""Measurements that count, the newest ones."""


class Measured(NamedTuple):
    """A phase that ran: bytes of its activations."""

    predicted: int
    """Before any correction."""
    actual: int


class Calibration(NamedTuple):
    """What is to be made of the measurements of a key."""

    factor: float
    """To multiply a prediction by, from 0.9 to 1.1."""
    misses: tuple[Measured, ...]
    """That deviate by more than a correction may, and were left out of it."""


def calibrate(measured: Sequence[Measured]) -> Calibration:
    """The correction for the measurements of one key, oldest first.

    The larger half counts, since a prediction that is too low costs a job and one that is too high
    a little room. Where most measurements are misses, nothing is corrected.
    """
    recent = [each for each in measured[-RECENT:] if each.predicted > 0]
    misses = tuple(each for each in recent if abs(_ratio(each) - 1) > MOST)
    near = [_ratio(each) for each in recent if each not in misses]
    if not near or len(misses) > len(near):
        return Calibration(1.0, misses)
    return Calibration(statistics.median_high(near), misses)


def _ratio(measured: Measured) -> float:
    return measured.actual / measured.predicted
