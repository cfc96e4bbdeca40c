"""What a call from the kernel to the orchestrator takes, beside bare FastAPI and httpx.

Both servers are processes of their own and answer the same document; the calls take turns.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from benchmarks import child
from benchmarks.figure import Figure, duration, growth
from benchmarks.statistics import summarize
from benchmarks.subject import new_home
from benchmarks.turns import alternate
from mysticanvas import Canvas

ROUNDS = 1000
WARM_UP = 100
TIMES = 1.5
"""The bar: at most that many times the bare call."""


def measure(_model: Path) -> list[Figure]:
    """`/internal/health` through a canvas, and from a bare server with a bare client."""
    with (
        new_home() as home,
        Canvas(home=home) as canvas,
        child.start("benchmarks.bare") as bare,
        httpx.Client(base_url=bare.hear()["url"]) as client,
    ):
        turns = {"ours": canvas.health, "bare": lambda: client.get("/internal/health").json()}
        taken = alternate(turns, ROUNDS, WARM_UP)
    typical = summarize(taken["bare"]).median
    return [
        duration("roundtrip.ours", "canvas.health()", summarize(taken["ours"])),
        duration("roundtrip.bare", "FastAPI and httpx alone", summarize(taken["bare"])),
        growth(
            "roundtrip.times",
            "the one to the other",
            summarize([seconds / typical for seconds in taken["ours"]]),
            TIMES,
        ),
    ]
