"""What `canvas.generate` takes, beside the same picture by diffusers alone.

A process of ours and one of diffusers take turns, in a fresh order each round, so that whatever the
machine does meets both. Once ours is told to show no progress, once it is any script.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks import child
from benchmarks.figure import Figure, duration
from benchmarks.statistics import limit, summarize
from benchmarks.subject import SILENT, Subject, warm

ROUNDS = 40
WARM_UP = 2
FACTOR, EXTRA_MS = 1.03, 40.0
"""The bar: at most that many times the direct call, plus that."""


class Round(NamedTuple):
    """Seconds for one picture: ours, their call, and their call with the PNG saved."""

    ours: float
    call: float
    saved: float


def measure(model: Path) -> list[Figure]:
    """Time to a picture, ours and theirs."""
    with warm(model) as subject:
        silent = _rounds(subject, SILENT)
        script = _rounds(subject, {})
    return [
        *_figures("silent", "canvas.generate, progress off", silent),
        *_figures("script", "canvas.generate, in a script", script),
    ]


def _figures(name: str, what: str, rounds: list[Round]) -> list[Figure]:
    call = summarize([taken.call for taken in rounds])
    saved = summarize([taken.saved for taken in rounds])
    ours = summarize([taken.ours for taken in rounds])
    added = summarize([taken.ours - taken.call for taken in rounds])
    bar_ms = limit(call.median * 1e3, FACTOR, EXTRA_MS)
    return [
        duration(f"generate.{name}.direct", "diffusers alone", call),
        duration(f"generate.{name}.direct_saved", "diffusers alone, PNG saved", saved),
        duration(f"generate.{name}.ours", what, ours, bar_ms),
        duration(f"generate.{name}.added", "what it adds to the call, by round", added),
    ]


def _rounds(subject: Subject, environment: Mapping[str, str]) -> list[Round]:
    order = random.Random(0)
    with (
        child.start("benchmarks.script", str(subject.home), environment=environment) as ours,
        child.start(
            "benchmarks.direct", *subject.direct, environment=subject.environment
        ) as theirs,
    ):
        rounds = [_round(subject, ours, theirs, seed, order) for seed in range(WARM_UP + ROUNDS)]
    return rounds[WARM_UP:]


def _round(
    subject: Subject, ours: child.Child, theirs: child.Child, seed: int, order: random.Random
) -> Round:
    path = subject.home.with_name(f"{seed}.png")
    turns = {
        "ours": lambda: ours.ask(**subject.ours(seed)),
        "theirs": lambda: theirs.ask(**subject.theirs(seed, path)),
    }
    answers = {side: turns[side]() for side in order.sample(list(turns), len(turns))}
    if not _same_pixels(answers["ours"]["path"], answers["theirs"]["path"]):
        raise RuntimeError("Both sides made different pictures, so their times say nothing.")
    return Round(
        answers["ours"]["seconds"], answers["theirs"]["call_s"], answers["theirs"]["saved_s"]
    )


def _same_pixels(first: str, second: str) -> bool:
    with Image.open(first) as one, Image.open(second) as other:
        return np.array_equal(np.asarray(one), np.asarray(other))
