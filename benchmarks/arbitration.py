"""How well room is made: 500 mixed requests on a budget of memory, held against an offline optimum.

Pictures of 256 to 2048 px with two presets and chats with two others come in a random order on one
device. Who needs what is predicted from traces of the real architectures, and the arbiter is the
product's; the workers alone are numbers, since a picture of 2048 px takes minutes on a CPU. The
optimum knows all requests beforehand, and loads again for as few seconds as can be.
"""

from __future__ import annotations

import functools
import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from benchmarks import needless, optimum
from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.errors import DoesNotFit
from mysticanvas.orchestrator.arbiter import grounds, language_planning, planning
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.planning import Situation
from mysticanvas.orchestrator.arbiter.profiles import Batches, Profiles, Subject
from mysticanvas.vram import llm

REQUESTS = 500
BUDGETS_MIB = (16_000, 20_000, 24_000)
_ARCHITECTURES = Path(__file__).parents[1] / "tests" / "data" / "architectures"
_THREADS = 2
_IMAGE_MIB, _LLM_MIB = 460.0, 85.0
"""Of the workers' processes with their libraries."""
_CONTEXT_S = 0.1


class Image(NamedTuple):
    """An image preset."""

    name: str
    weights: tuple[tuple[str, int], ...]
    """Component, and MiB in float32."""
    load_s: float

    @property
    def mib(self) -> float:
        """Of all weights."""
        return float(sum(mib for _, mib in self.weights))


class Chat(NamedTuple):
    """A preset of a language model; MiB."""

    name: str
    weights: float
    context: float
    load_s: float


IMAGES = (
    Image("sd15", (("unet", 3_279), ("text_encoder", 470), ("vae", 319)), 5.0),
    Image(
        "sdxl",
        (("unet", 9_794), ("text_encoder", 470), ("text_encoder_2", 2_650), ("vae", 319)),
        20.0,
    ),
)
CHATS = (Chat("7b", 4_370, 1_330, 8.0), Chat("1b", 770, 330, 2.0))
"""Weights in q4_K; a cache of 8192 tokens in f16, and the buffers."""


class Request(NamedTuple):
    """A picture, or a chat."""

    preset: Image | Chat
    side_px: int = 0
    num_images: int = 1


class Outcome(NamedTuple):
    """What came of a run."""

    budget_mib: float
    requests: int
    refused: int
    """Those that would not have fitted on the device alone either."""
    wrongly_refused: int
    needless: int
    """Decisions that unload more than was needed, or reckon wrongly."""
    unexplained: int
    soft: int
    hard: int
    loading_s: float
    """Seconds that models are loaded again for, the first time of each included."""
    optimum_s: float
    """The fewest that any order of unloadings would have taken."""

    def __str__(self) -> str:
        return (
            f"{self.budget_mib:,.0f} MiB: {self.requests} requests, {self.refused} refused "
            f"({self.wrongly_refused} wrongly), {self.soft} contexts dropped, {self.hard} workers "
            f"ended ({self.needless} needlessly, {self.unexplained} unexplained), loading "
            f"{self.loading_s:,.0f} s, optimum {self.optimum_s:,.0f} s "
            f"({self.loading_s / self.optimum_s:.2f} ×)"
        )


def profiles() -> dict[str, ImageProfile]:
    """Of both image presets: traced without weights, which are added."""
    known, found = Profiles(), {}
    for each in IMAGES:
        subject = Subject(str(_ARCHITECTURES / each.name), each.name, "float32", "cpu")
        profile = known.of(subject, [Batches.of(1, True), Batches.of(2, True)])
        weights = {name: mib << 20 for name, mib in each.weights}
        found[each.name] = profile.model_copy(update={"weights": weights})
    return found


def trace(seed: int, requests: int = REQUESTS) -> list[Request]:
    """Requests in a random order; each keeps the preset of the last of its kind half of the
    time, as people do."""
    draw = random.Random(seed)
    image, chat = IMAGES[0], CHATS[0]
    found = []
    for _ in range(requests):
        if draw.random() < 0.35:
            chat = draw.choice(CHATS) if draw.random() < 0.5 else chat
            found.append(Request(chat))
        else:
            image = draw.choice(IMAGES) if draw.random() < 0.5 else image
            side = draw.randrange(256, 2048 + 1, 64)
            found.append(Request(image, side, draw.choice((1, 1, 1, 2, 4))))
    return found


def run(requests: Sequence[Request], known: dict[str, ImageProfile], budget_mib: float) -> Outcome:
    """Have all requests carried out, one after the other."""
    image = Tenant("image", base_mib=_IMAGE_MIB)
    chat = Tenant("llm", base_mib=_LLM_MIB)
    machine = Machine(budget_mib, image, chat)
    arbiter = Arbiter([image, chat], machine.memory)
    refused = wrongly = unexplained = soft = hard = 0
    faults: list[str] = []
    loading_s = 0.0
    # Few requests are distinct, and it takes a plan with all ways.
    least = functools.cache(functools.partial(least_mib, known=known))
    for request in requests:
        tenant = image if isinstance(request.preset, Image) else chat
        # The process is there before it is asked what a model needs.
        tenant.is_running = True
        decide = _judged(deciding(request, known), budget_mib, faults)
        try:
            with arbiter.admitted(tenant.kind, functools.partial(_same, decide)) as plan:
                assert plan is not None
                loading_s += _load(tenant, request)
        except DoesNotFit:
            refused += 1
            wrongly += least(request) <= budget_mib
            continue
        unloads = [each for each in plan.actions if each.kind in ("soft_unload", "hard_unload")]
        soft += sum(each.kind == "soft_unload" for each in unloads)
        hard += sum(each.kind == "hard_unload" for each in unloads)
        unexplained += any(not each.why or not each.frees_mib for each in plan.actions)
    return Outcome(
        budget_mib=budget_mib,
        requests=len(requests),
        refused=refused,
        wrongly_refused=wrongly,
        needless=len(faults),
        unexplained=unexplained,
        soft=soft,
        hard=hard,
        loading_s=loading_s,
        optimum_s=optimum_s(requests, least, budget_mib),
    )


def deciding(request: Request, known: dict[str, ImageProfile]) -> Callable[[Situation], Plan]:
    """How the product decides about a request."""
    preset = request.preset
    if isinstance(preset, Chat):
        parts = [
            MemoryPart(name=llm.WEIGHTS, mib=preset.weights, known="exact", device=llm.SYSTEM),
            MemoryPart(name=llm.CACHE, mib=preset.context, known="exact", device=llm.SYSTEM),
        ]
        return lambda situation: language_planning.plan(lambda _: parts, 0, situation)
    params = ResolvedParams(
        prompt="x", width=request.side_px, height=request.side_px, num_inference_steps=20,
        guidance_scale=7.5, seed=0, num_images=request.num_images, scheduler="DDIMScheduler",
    )  # fmt: skip
    profile = known[preset.name]
    return lambda situation: planning.plan(params, profile, situation, _THREADS, "auto")


def least_mib(request: Request, known: dict[str, ImageProfile]) -> float:
    """What a request needs in the way that needs least, process and all."""
    kind = "llm" if isinstance(request.preset, Chat) else "image"
    tenant = Tenant(kind, base_mib=_LLM_MIB if kind == "llm" else _IMAGE_MIB, is_running=True)
    machine = Machine(0.0, tenant)
    plan = deciding(request, known)(Arbiter([tenant], machine.memory).situation(kind))
    return plan.total_mib


def optimum_s(
    requests: Sequence[Request], least: Callable[[Request], float], budget_mib: float
) -> float:
    """Seconds of loading if everything is known beforehand.

    Args:
        least: gives the MiB that a request needs at least, as `least_mib`.
    """
    steps = [optimum.Step(_model(each.preset), least(each)) for each in requests]
    return optimum.seconds(steps, budget_mib)


def _model(preset: Image | Chat) -> optimum.Model:
    if isinstance(preset, Image):
        return optimum.Model(preset.name, _IMAGE_MIB + preset.mib, preset.load_s)
    return optimum.Model(
        preset.name,
        _LLM_MIB + preset.weights,
        preset.load_s,
        context_mib=preset.context,
        context_s=_CONTEXT_S,
    )


def _judged(
    decide: Callable[[Situation], Plan], budget_mib: float, faults: list[str]
) -> Callable[[Situation], Plan]:
    """The same decisions; what is wrong with those that unload something is noted."""

    def decided(situation: Situation) -> Plan:
        plan = decide(situation)
        if any(action.worker for action in plan.actions):
            fault = needless.fault(grounds.of(situation, plan), budget_mib)
            faults.extend([] if fault is None else [fault])
        return plan

    return decided


def _same(decide: Callable[[Situation], Plan]) -> Callable[[Situation], Plan]:
    return decide


def _load(tenant: Tenant, request: Request) -> float:
    """Have the request's model on its worker; the seconds that takes."""
    preset = request.preset
    there = tenant.preset == preset.name
    if isinstance(preset, Image):
        tenant.take(preset.name, preset.mib)
        return 0.0 if there else preset.load_s
    seconds = preset.load_s if not there else _CONTEXT_S * (not tenant.context_mib)
    tenant.take(preset.name, preset.weights, preset.context)
    return seconds


def main() -> None:
    """Print what comes of each budget."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    known = profiles()
    for budget_mib in BUDGETS_MIB:
        print(run(trace(seed=7), known, budget_mib))


if __name__ == "__main__":
    main()
