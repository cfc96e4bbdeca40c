"""Mixed requests on a budget of memory that is too small for all of them, by real processes.

Pictures of 256 to 2048 px with two presets and language models of two presets take turns on one
device, in a random order. `python -m benchmarks.pressure` is the long run, and prints what it
found; the exit code is 1 if a request failed that could have been carried out, or if room was made
without need or without a reason. What the models are like does not matter here, so they are small
ones with random weights; `benchmarks.arbitration` has the proportions of real ones, and no
processes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.subject import new_home
from mysticanvas import Canvas, DoesNotFit, LLMPreset, MystiCanvasError
from mysticanvas.contracts.plan import MadeRoom, Plan
from mysticanvas.contracts.vram import VramStatus

TESTS = Path(__file__).parents[1] / "tests"
REQUESTS = 500
CHATS = 0.35
"""Share of the requests that want a language model."""
SHORT, LONG = 65_536, 262_144
"""Tokens of the two language models, whose caches take 32 and 128 MiB."""
ROOM_MIB = 600
"""Beside the image worker with its model: more than a language model with its process, and less
than one with a picture of 2048 px."""
_WIDTHS = (("narrow", 16), ("wide", 64))
UNLOADS = ("soft_unload", "hard_unload")


class Request(NamedTuple):
    """A picture, or a language model that is to be ready."""

    preset: str
    side_px: int = 0
    """0 for a language model."""
    num_images: int = 1


class Outcome(NamedTuple):
    """What came of a run."""

    requests: int
    errors: list[str]
    refused: int
    """Those that need more than the budget whatever is done."""
    wrongly: int
    """Refused although they would have fitted on a device of their own."""
    mitigated: int
    soft: int
    hard: int
    needless: int
    """Plans that would have fitted with one unloading less."""
    unexplained: int
    """Unloadings without a reason or a gain, or that no line of the log is about."""
    seconds: float

    @property
    def well(self) -> bool:
        return not (self.errors or self.wrongly or self.needless or self.unexplained)

    def __str__(self) -> str:
        return (
            f"{self.requests} requests in {self.seconds:,.0f} s: {len(self.errors)} failed, "
            f"{self.refused} refused ({self.wrongly} wrongly), {self.mitigated} mitigated, "
            f"{self.soft} contexts dropped and {self.hard} workers ended for pictures "
            f"({self.needless} needlessly), {self.unexplained} unexplained"
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
        for preset in images:
            canvas.generate("x", preset=preset, num_inference_steps=1, width=256, height=256)
        largest = max(each.mib for each in canvas.vram.workers)
        canvas.shutdown()
    budget_mib = round(largest + ROOM_MIB)
    print(f"on {budget_mib:,} MiB, {largest:,.0f} of which the image worker takes", flush=True)
    with Canvas(home=home, memory_budget_mib=budget_mib) as canvas:
        began = time.monotonic()
        told = _Told(canvas)
        for number, request in enumerate(trace(seed, requests, images, chats)):
            told.carry_out(request)
            if number % 50 == 49:
                print(f"{number + 1} of {requests}", flush=True)
        return told.outcome(requests, time.monotonic() - began, home)


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
    """Carries requests out, and notes what is told of each."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._plans: dict[str, Plan] = {}
        self._errors: list[str] = []
        self._refused = self._wrongly = self._mitigated = self._needless = 0
        canvas.on("vram", self._hear)

    def carry_out(self, request: Request) -> None:
        before = self._canvas.vram._status
        try:
            if request.side_px:
                self._picture(request, before)
            else:
                self._canvas.workers.start("llm", preset=request.preset)
        except DoesNotFit as refusal:
            self._refused += 1
            self._wrongly += _least_mib(refusal) <= before.device.total_mib
        except MystiCanvasError as error:
            self._errors.append(f"{request}: {error.code}: {error}")

    def outcome(self, requests: int, seconds: float, home: Path) -> Outcome:
        unloads = [
            action
            for plan in self._plans.values()
            for action in plan.actions
            if action.kind in UNLOADS
        ]
        lines = [line for line in _log(home) if line.get("event") == "making_room"]
        unexplained = sum(not line.get("why") for line in lines)
        unexplained += sum(not (action.why and action.frees_mib) for action in unloads)
        unexplained += len({action.why for action in unloads} - {line["why"] for line in lines})
        return Outcome(
            requests=requests,
            errors=self._errors,
            refused=self._refused,
            wrongly=self._wrongly,
            mitigated=self._mitigated,
            soft=sum(action.kind == "soft_unload" for action in unloads),
            hard=sum(action.kind == "hard_unload" for action in unloads),
            needless=self._needless,
            unexplained=unexplained,
            seconds=seconds,
        )

    def _picture(self, request: Request, before: VramStatus) -> None:
        job = self._canvas.submit(
            "x",
            preset=request.preset,
            width=request.side_px,
            height=request.side_px,
            num_images=request.num_images,
            num_inference_steps=1,
        )
        [image, *_] = job.result()
        self._mitigated += bool(image.recipe.mitigations)
        plan = self._plans.get(job.id)
        if plan is not None:
            self._needless += _is_needless(before, plan)

    def _hear(self, event: Any) -> None:
        if isinstance(event, MadeRoom):
            self._plans[event.job_id] = event.plan


def _least_mib(refusal: DoesNotFit) -> float:
    """What the request needs in the way that needs least, its process included."""
    return float(refusal.plan.total_mib)


def _is_needless(before: VramStatus, plan: Plan) -> bool:
    """Whether one unloading less would have done, by what was there before the first."""
    unloads = [action for action in plan.actions if action.kind in UNLOADS]
    held = sum(each.mib for each in before.holdings if each.worker == "image")
    had = before.device.free_mib + held + sum(action.frees_mib for action in unloads)
    return any(plan.total_mib <= had - action.frees_mib for action in unloads)


def _log(home: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((home / "logs").glob("orchestrator.jsonl*")):
        for line in file.read_text().splitlines():
            yield json.loads(line)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pressure", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args()
    with new_home() as home:
        outcome = run(home, options.requests)
    print(outcome)
    for error in outcome.errors:
        print(f"  {error}")
    return int(not outcome.well)


if __name__ == "__main__":
    sys.exit(main())
