"""What is said of a row of measurements. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Summary(NamedTuple):
    """A row of measurements, in their own unit."""

    n: int
    median: float
    low: float
    """The tenth percentile."""
    high: float
    """The ninetieth percentile."""


def summarize(samples: Sequence[float]) -> Summary:
    """Median and spread of at least one measurement."""
    return Summary(
        len(samples), statistics.median(samples), percentile(samples, 10), percentile(samples, 90)
    )


def percentile(samples: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the samples lie, interpolated between neighbours."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    below, above = math.floor(place), math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def limit(baseline: float, factor: float, extra: float) -> float:
    """The bar "at most `factor` times the baseline plus `extra`"."""
    return factor * baseline + extra
