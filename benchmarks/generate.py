"""What `canvas.generate` takes, beside the same picture by diffusers alone.

Two processes of ours, one told to show no progress and one plain script, and one of diffusers take
turns, in a fresh order each round, so that whatever the machine does meets all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import child
from benchmarks.figure import Figure, duration
from benchmarks.statistics import limit, summarize
from benchmarks.subject import SILENT, Subject, warm

ROUNDS = 24
WARM_UP = 2
FACTOR, EXTRA_MS = 1.03, 40.0
"""The bar: at most that many times the direct call, plus that."""

Round = dict[str, child.Answer]


def measure(model: Path) -> list[Figure]:
    """Time to a picture, ours and theirs."""
    with warm(model) as subject:
        rounds = _rounds(subject)
    if not all(_same_pixels(answers) for answers in rounds):
        raise RuntimeError("The two sides made different pictures, so their times say nothing.")

    call = summarize([answers["direct"]["call_s"] for answers in rounds])
    bar_ms = limit(call.median * 1e3, FACTOR, EXTRA_MS)

    def ours(side: str, what: str) -> Figure:
        seconds = summarize([answers[side]["seconds"] for answers in rounds])
        return duration(f"generate.{side}", what, seconds, bar_ms)

    def excess(side: str) -> list[float]:
        return [answers[side]["seconds"] - answers["direct"]["call_s"] for answers in rounds]

    saved = summarize([answers["direct"]["saved_s"] for answers in rounds])
    return [
        duration("generate.direct", "diffusers alone", call),
        duration("generate.direct_saved", "diffusers alone, PNG saved", saved),
        ours("silent", "canvas.generate, progress off"),
        ours("script", "canvas.generate, in a script"),
        duration("generate.excess", "what it adds, round by round", summarize(excess("silent"))),
    ]


def _rounds(subject: Subject) -> list[Round]:
    home, order = str(subject.home), random.Random(0)
    with (
        child.start("benchmarks.script", home, environment=SILENT) as silent,
        child.start("benchmarks.script", home) as script,
        child.start(
            "benchmarks.direct", *subject.direct, environment=subject.environment
        ) as direct,
    ):
        sides: dict[str, Callable[[int], dict[str, Any]]] = {
            "silent": lambda seed: silent.ask(**subject.ours(seed)),
            "script": lambda seed: script.ask(**subject.ours(seed)),
            "direct": lambda seed: direct.ask(
                **subject.theirs(seed, subject.home.with_name(f"{seed}.png"))
            ),
        }
        rounds = []
        for seed in range(WARM_UP + ROUNDS):
            turns = order.sample(list(sides), len(sides))
            rounds.append({side: sides[side](seed) for side in turns})
    return rounds[WARM_UP:]


def _same_pixels(answers: Round) -> bool:
    first, *others = [np.asarray(Image.open(answer["path"])) for answer in answers.values()]
    return all(np.array_equal(first, other) for other in others)
