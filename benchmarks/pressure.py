"""Mixed requests on a budget of memory that is too small for all of them, by real processes.

Pictures of 256 to 2048 px with two presets and language models of two presets take turns on one
device, in a random order. `python -m benchmarks.pressure` is the long run, and prints what it
found; the exit code is 1 if a request failed that could have been carried out, or if room was made
without need or without a reason. Each decision is judged by the figures that it left in the log
(`benchmarks.needless`), and all of them together by what could have been done if all requests had
been known beforehand (`benchmarks.optimum`).

What the models are like does not matter here, so they are small ones with random weights;
`benchmarks.arbitration` has the proportions of real ones, and no processes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine, optimum, record
from benchmarks.subject import new_home
from mysticanvas import Canvas, DoesNotFit, LLMPreset, MystiCanvasError
from mysticanvas.contracts.vram import Holding
from mysticanvas.vram import llm

TESTS = Path(__file__).parents[1] / "tests"
REQUESTS = 500
CHATS = 0.35
"""Share of the requests that want a language model."""
SHORT, LONG = 65_536, 262_144
"""Tokens of the two language models, whose caches take 32 and 128 MiB."""
ROOM_MIB = 450
"""Beside the image worker with its model: more than a language model with its process, and less
than a picture of 2048 px."""
_WIDTHS = (("narrow", 16), ("wide", 64))
IMAGE_START_S, LLM_START_S, CONTEXT_S = 6.0, 1.0, 0.1
"""About what it takes to have a process of either kind, or a context, ready again on two cores.
Another model in the same process costs both sides the same."""


class Request(NamedTuple):
    """A picture, or a language model that is to be ready."""

    preset: str
    side_px: int = 0
    """0 for a language model."""
    num_images: int = 1

    @property
    def arguments(self) -> dict[str, Any]:
        """Of `generate` and `plan`, beside the prompt."""
        return {
            "preset": self.preset,
            "width": self.side_px,
            "height": self.side_px,
            "num_images": self.num_images,
            "num_inference_steps": 1,
        }


class Outcome(NamedTuple):
    """What came of a run."""

    requests: int
    budget_mib: float
    errors: list[str]
    refused: int
    """Those that need more than the budget whatever is done."""
    wrongly: int
    """Refused although they would have fitted on a device of their own."""
    mitigated: int
    soft: int
    hard: int
    decisions: int
    """To make room, for pictures and for language models."""
    needless: list[str]
    """What is wrong with those that unload more than was needed, or reckon wrongly."""
    again: int
    """Decisions that did not give as much as they counted on, so that another had to be made."""
    unexplained: int
    """Unloadings without a reason, or that no decision in the log is about."""
    ready_s: float
    """Seconds that had to be spent on having processes, models and contexts ready, as they are
    reckoned for the optimum."""
    optimum_s: float
    """The fewest that any order of unloadings would have taken."""
    seconds: float

    @property
    def well(self) -> bool:
        return not (self.errors or self.wrongly or self.needless or self.unexplained)

    def __str__(self) -> str:
        return (
            f"{self.requests} requests on {self.budget_mib:,.0f} MiB in {self.seconds:,.0f} s: "
            f"{len(self.errors)} failed, {self.refused} refused ({self.wrongly} wrongly), "
            f"{self.mitigated} mitigated; room made {self.decisions} times "
            f"({len(self.needless)} needlessly, {self.again} once more), {self.soft} contexts "
            f"dropped and {self.hard} workers ended ({self.unexplained} unexplained); "
            f"{self.ready_s:,.1f} s of having models ready, optimum {self.optimum_s:,.1f} s "
            f"({self.ready_s / self.optimum_s:.2f} ×)"
        )


def trace(seed: int, requests: int, images: Sequence[str], chats: Sequence[str]) -> list[Request]:
    """Requests in a random order."""
    draw = random.Random(seed)
    return [
        Request(draw.choice(chats))
        if draw.random() < CHATS
        # As many of each size as area allows: what is large takes longer, and makes the same point.
        else Request(draw.choice(images), _side(draw), draw.choice((1, 1, 1, 2)))
        for _ in range(requests)
    ]


def _side(draw: random.Random) -> int:
    return min(draw.randrange(256, 2048 + 1, 64) for _ in range(2))


def run(home: Path, requests: int, seed: int = 7) -> Outcome:
    """Have them carried out, one after the other, in an empty home."""
    with Canvas(home=home) as canvas:
        images, chats = _presets(canvas, home.parent)
        models = _models(canvas, images, chats)
        canvas.shutdown()
    largest = max(models[each].mib for each in images)
    budget_mib = round(largest + ROOM_MIB)
    print(f"on {budget_mib:,} MiB, {largest:,.0f} of which the image worker takes", flush=True)
    wanted = trace(seed, requests, images, chats)
    with Canvas(home=home, memory_budget_mib=1) as canvas:
        least = {each: _least(canvas, each, models) for each in dict.fromkeys(wanted)}
        steps = [optimum.Step(models[each.preset], least[each]) for each in wanted]
        canvas.shutdown()
    with Canvas(home=home, memory_budget_mib=budget_mib) as canvas:
        began, since = time.monotonic(), datetime.now(UTC)
        told = _Told(canvas)
        stopped = _when_stopped()
        for number, request in enumerate(wanted, start=1):
            told.carry_out(request)
            if number % 50 == 0:
                print(f"{number} of {requests}", flush=True)
            if stopped.is_set():
                wanted, steps = wanted[:number], steps[:number]
                break
        seconds = time.monotonic() - began
    made = record.read(home, budget_mib, since)
    return Outcome(
        requests=len(wanted),
        budget_mib=budget_mib,
        errors=told.errors,
        refused=told.refused,
        wrongly=told.wrongly,
        mitigated=told.mitigated,
        soft=made.count("soft_unload"),
        hard=made.count("hard_unload"),
        decisions=len(made.decisions),
        needless=made.faults,
        again=made.again,
        unexplained=made.unexplained,
        ready_s=_ready_s(wanted, models, made),
        optimum_s=optimum.seconds(steps, budget_mib),
        seconds=seconds,
    )


def _when_stopped() -> threading.Event:
    """Set when this process is told to end: what is done by then counts, and is cleaned up."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    return stopped


def _models(
    canvas: Canvas, images: Sequence[str], chats: Sequence[str]
) -> dict[str, optimum.Model]:
    """What they take between two requests, in processes that have done next to nothing."""
    found = {}
    for preset in images:
        canvas.generate("x", preset=preset, num_inference_steps=1, width=256, height=256)
        mib = _held(canvas, "image").mib
        found[preset] = optimum.Model(preset, mib, load_s=0.0, start_s=IMAGE_START_S)
    for preset in chats:
        canvas.workers.start("llm", preset=preset)
        held = _held(canvas, "llm")
        context = sum(part.mib for part in held.parts if part.name != llm.WEIGHTS)
        found[preset] = optimum.Model(
            preset, held.mib - context, 0.0, LLM_START_S, context, CONTEXT_S
        )
    return found


def _held(canvas: Canvas, worker: str) -> Holding:
    return next(each for each in canvas.vram._status.holdings if each.worker == worker)


def _least(canvas: Canvas, request: Request, models: dict[str, optimum.Model]) -> float:
    """What a request needs in the way that needs least, process and all; MiB.

    Args:
        canvas: on a device that has room for nothing, where a plan tells that.
    """
    if not request.side_px:
        return _least_of_chat(canvas, request.preset)
    plan = canvas.plan("x", **request.arguments)
    own = sum(term.mib for term in plan.terms if not term.name.startswith(("context", "weights")))
    return models[request.preset].mib + own


def _least_of_chat(canvas: Canvas, preset: str) -> float:
    """With all that it takes once it is at work, of which little is resident before."""
    try:
        canvas.workers.start("llm", preset=preset)
    except DoesNotFit as refusal:
        return float(refusal.plan.total_mib)
    raise RuntimeError("A language model was loaded on a device that has room for nothing.")


def _ready_s(
    wanted: Sequence[Request], models: dict[str, optimum.Model], made: record.Record
) -> float:
    """As `optimum.seconds` would reckon what happened: each process that was ended is started
    again, the first ones are as well, and each context that was dropped is made again."""
    ended = {"image": IMAGE_START_S, "llm": LLM_START_S}
    first = {models[each.preset].start_s for each in wanted}
    return (
        sum(first)
        + sum(ended[each.worker] for each in made.unloads if each.kind == "hard_unload")
        + CONTEXT_S * made.count("soft_unload")
    )


def _presets(canvas: Canvas, folder: Path) -> tuple[list[str], list[str]]:
    # The builders are those of the tests, which are no package.
    sys.path.insert(0, str(TESTS))
    models, ggufs = importlib.import_module("models"), importlib.import_module("ggufs")
    images = [str(_flat(models.make_sd(folder / name), width)) for name, width in _WIDTHS]
    gguf = str(ggufs.make_llm(folder / "llm.gguf", ggufs.Shape(context=LONG)))
    chats = []
    for name, tokens in (("short", SHORT), ("long", LONG)):
        canvas.presets.llm.save(LLMPreset(name=name, model=gguf, n_ctx=tokens))
        chats.append(name)
    return images, chats


def _flat(folder: Path, width: int) -> Path:
    """The pipeline of a folder with attention only where pictures are small: it would take minutes
    on a CPU, and next to no memory."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel

    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        mid_block_add_attention=False,
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(8, 16, width),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
    )
    pipeline = StableDiffusionPipeline.from_pretrained(folder, vae=vae, unet=unet)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


class _Told:
    """Carries requests out, and counts what comes of them."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self.errors: list[str] = []
        self.refused = self.wrongly = self.mitigated = 0

    def carry_out(self, request: Request) -> None:
        try:
            if request.side_px:
                [image, *_] = self._canvas.generate("x", **request.arguments)
                self.mitigated += bool(image.recipe.mitigations)
            else:
                self._canvas.workers.start("llm", preset=request.preset)
        except DoesNotFit as refusal:
            self.refused += 1
            total_mib = self._canvas.vram.device.total_mib
            self.wrongly += float(refusal.plan.total_mib) <= total_mib
        except MystiCanvasError as error:
            self.errors.append(f"{request}: {error.code}: {error}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pressure", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--json", type=Path, help="file to write what came of it to")
    options = parser.parse_args()
    with new_home() as home:
        outcome = run(home, options.requests)
    print(outcome)
    for fault in (*outcome.errors, *outcome.needless):
        print(f"  {fault}")
    if options.json is not None:
        told = {"command": f"python -m benchmarks.pressure --requests {options.requests}"}
        told |= {"at": datetime.now(UTC).isoformat(), "machine": machine.describe()}
        options.json.write_text(json.dumps(told | outcome._asdict(), indent=1) + "\n")
    return int(not outcome.well)


if __name__ == "__main__":
    sys.exit(main())
