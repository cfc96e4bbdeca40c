"""Steps in which models leave the device: for another one, and when nobody has used them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.meter import waited
from benchmarks.gpu.steps import (
    ONLY_GPU,
    PROMPT,
    Line,
    Step,
    Surroundings,
    drawn,
    given_back,
    says,
    succeeded,
    used_mib,
)
from mysticanvas import Canvas

KEEP_ALIVE_S, LEAVES_S = 3.0, 15.0
_BESIDE_MIB = 1024.0
"""Left beside the larger model: too little for another."""
_SIDE = 1024


def steps(around: Surroundings) -> Iterator[Step]:
    """Those with one orchestrator."""
    yield Step(
        "two models, room for one",
        "the one leaves for the other, in words that name both; back again with the same pixels",
        lambda: _by_turns(around),
    )
    yield Step(
        "two models, one pinned",
        "the other is refused, in words that say what to do",
        lambda: _pinned(around),
    )


def kept_alive(home: Path, keywords: dict[str, Any]) -> Line:
    """A model that nobody uses, with an orchestrator of its own."""
    heard: list[str] = []
    with Canvas(home=home, keep_alive_s=KEEP_ALIVE_S) as canvas:
        try:
            before = used_mib()
            told = drawn(canvas, keywords)
            with_it, began = used_mib(), time.monotonic()
            with canvas.on("vram", lambda event: heard.append(str(event))):
                waited(lambda: says(["not used for"], heard), LEAVES_S)
            # Its context stays with the process.
            left = _used_less(before, with_it)
            seconds = round(time.monotonic() - began, 1)
        finally:
            canvas.shutdown(force=True)
    ok = succeeded(told) and says([keywords["preset"], f"{KEEP_ALIVE_S:g} s"], heard)
    return left | {"ok": ok and left["ok"], "left_after_s": seconds, "heard": heard}


def _by_turns(around: Surroundings) -> Line:
    large = _sized(around.large)
    with around.foreign.leaving(_room(around, large)) as foreign:
        first = drawn(around.canvas, large)
        before = used_mib()
        other = drawn(around.canvas, around.small)
        again = drawn(around.canvas, large)
        back = given_back(before)
    names = (large["preset"], around.small["preset"])
    same = first.get("pixels") == again.get("pixels")
    words = says(names, other["heard"]) and says(names[::-1], again["heard"])
    sound = all(map(succeeded, (first, other, again))) and same and words
    found = {
        "foreign_mib": round(foreign.held_mib),
        "same_pixels": same,
        "told": [each["heard"] + each["notices"] for each in (first, other, again)],
        "mitigations": [each.get("mitigations") for each in (first, other, again)],
        "seconds": [each["seconds"] for each in (first, other, again)],
    }
    if not around.on_gpu:
        found["left_out"] = f"a foreign process: {ONLY_GPU}"
    return found | back | {"ok": sound and back["ok"]}


def _pinned(around: Surroundings) -> Line:
    large = _sized(around.large)
    first = drawn(around.canvas, large)
    around.canvas.pin(large["preset"])
    try:
        refused = drawn(around.canvas, around.small)
    finally:
        around.canvas.pin(large["preset"], False)
    after = drawn(around.canvas, around.small)
    words = says([large["preset"], "canvas.unload"], [refused["refused"] or ""])
    sound = succeeded(first) and succeeded(after) and words
    return {"ok": sound, "refused": refused["refused"], "then": after["heard"]}


def _sized(keywords: dict[str, Any]) -> dict[str, Any]:
    side = min(_SIDE, keywords["width"])
    return keywords | {"width": side, "height": side}


def _room(around: Surroundings, keywords: dict[str, Any]) -> float:
    """MiB to be left for a picture of the larger model, with nothing loaded."""
    around.canvas.unload()
    wished = {name: value for name, value in keywords.items() if name != "seed"}
    return around.canvas.plan(PROMPT, **wished).total_mib + _BESIDE_MIB


def _used_less(before: int | None, with_it: int | None) -> Line:
    """Whether less is used than with the model, by more than a context is."""
    now = used_mib()
    if before is None or with_it is None or now is None:
        return {"ok": True, "given_back": ONLY_GPU}
    return {"ok": now - before < 0.6 * (with_it - before), "device_used_mib": [with_it, now]}
