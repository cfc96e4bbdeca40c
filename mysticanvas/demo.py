"""The tour: what MystiCanvas does, in one run and without a notebook."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from mysticanvas import (
    Canvas,
    Conflict,
    Image,
    Images,
    OrchestratorUnavailable,
    contact_sheet,
)
from mysticanvas.contracts.presets import STARTER
from mysticanvas.session import launch
from mysticanvas.session.plan import Plan
from mysticanvas.settings import Settings

PROMPTS = (
    "a red circle above a blue square",
    "a big yellow star on a purple background",
    "a small green heart inside a large white square, neon",
    "an orange triangle left of a black circle, watercolor",
    "a blue star, striped, on a yellow background",
    "a white circle on a black background, noir",
)
WORDS = "star -striped"
LARGE_PX = 1024


def run(home: Path | None, output: Path) -> Path:
    """Make pictures, find them again, make one of them once more, plan a large one.

    An orchestrator that runs, or has jobs of others left, goes on; one that was started here ends.

    Args:
        home: home directory; None for the user's own.
        output: folder for the contact sheet.

    Returns:
        The HTML page with all pictures; `pictures.png` beside it shows them in one.
    """
    began = time.perf_counter()
    ours = not _runs(home)
    with Canvas(home=home, project="demo") as canvas:
        print(f"Canvas ready after {time.perf_counter() - began:.1f} s; home: {canvas.home}")
        made = [_make(canvas, number, prompt) for number, prompt in enumerate(PROMPTS)]
        newest = canvas.images(limit=len(PROMPTS))
        print(f"The store has {newest.total} pictures of this project.")
        found = canvas.search(WORDS)
        print(f"A search for {WORDS!r} finds {found.total} of them, the best: {found[0].prompt!r}.")
        again = canvas.reproduce(made[0])
        print(f"The first one made again: {'the same pixels' if again.matches else 'different'}.")
        needed, *_ = _plan(canvas).explain().splitlines()
        print(f"The plan for {LARGE_PX}×{LARGE_PX} px: {needed}.")
        sheet = contact_sheet.write(output.absolute() / "index.html", "MystiCanvas demo", made)
        Images(made).pil().save(sheet.with_name("pictures.png"))
        if ours and not _has_jobs(canvas.home):
            with contextlib.suppress(Conflict):
                canvas.shutdown()
    return sheet


def _runs(home: Path | None) -> bool:
    """Whether the home has an orchestrator."""
    try:
        return launch.find(Settings.load(home=home).paths) is not None
    except (OrchestratorUnavailable, ValueError):
        # For Canvas to deal with, or to refuse.
        return True


def _has_jobs(home: Path) -> bool:
    """Whether anybody's jobs wait or run."""
    with Canvas(home=home, project=None) as canvas:
        return any(canvas.jobs.list(status=status) for status in ("queued", "running"))


# The prompts are for the starter model, whichever is the home's own by default.


def _plan(canvas: Canvas) -> Plan:
    return canvas.plan(PROMPTS[0], width=LARGE_PX, height=LARGE_PX, preset=STARTER)


def _make(canvas: Canvas, number: int, prompt: str) -> Image:
    began = time.perf_counter()
    image = canvas.generate(prompt, seed=number, preset=STARTER, reuse=True)
    print(f"  {time.perf_counter() - began:5.1f} s  {prompt}")
    return image
