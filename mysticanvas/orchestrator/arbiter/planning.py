"""From what a request asks, and who has the memory, to a plan: pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.memory import Known
from mysticanvas.contracts.mitigations import Allowed, without_offload
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.plugins import LLM_ENGINE
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile, Phase
from mysticanvas.contracts.vram import Holding, VramStatus
from mysticanvas.orchestrator.arbiter import registry, ways
from mysticanvas.orchestrator.arbiter.policy import (
    Device,
    Request,
    Resident,
    Variant,
    decide,
    is_allowed,
    most_mib,
)
from mysticanvas.orchestrator.arbiter.suggestion import Size, suggest
from mysticanvas.orchestrator.arbiter.ways import Asked, Way
from mysticanvas.vram import image, reserve
from mysticanvas.vram.image import Surroundings

MIB = 1 << 20
CONTEXT_MIB = 450.0
"""Of a worker with its libraries and no model, on a CPU."""
CONTEXT_LLM_MIB = 120.0
"""Of a worker with llama.cpp and no model, on a CPU."""
CUBLAS_BYTES = 8 * MIB
_RELOAD_S, _CONTEXT_S = 10.0, 0.1
"""What making a model, and its context, ready again is taken to cost, where it is not known."""


Factors = Callable[[Sequence[str]], Mapping[Phase, float]]
"""Gives for mitigations what the phases' predictions are multiplied by."""


Seconds = Callable[[tuple[str, ...]], float | None]
"""Gives for mitigations how long such jobs took with them; None before the first."""


class Experience(NamedTuple):
    """What is known of a model's jobs beside its profile."""

    factors: Factors = lambda _: {}
    """What measurements found the phases to be off by."""
    reserved: Mapping[ImageWork, int] = {}
    """Work -> bytes that the allocator of CUDA has reserved at its peak."""
    seconds: Seconds = lambda _: None

    def slowdown(self, way: Way) -> tuple[float, Known]:
        """How many times as long as the plain way another one takes, and how that is known."""
        if not way.mitigations:
            return 1.0, "assumed"
        plain, took = self.seconds(()), self.seconds(way.mitigations)
        if plain and took:
            return max(1.0, took / plain), "measured"
        return ways.slowdown(way.mitigations), "assumed"


class Use(NamedTuple):
    """How a worker is used."""

    busy: bool = False
    idle_s: float = 0.0
    """Seconds since its model was last used."""
    reload_s: float = _RELOAD_S
    """What loading it took."""
    promised_mib: float = 0.0
    """What the job that runs on it may take in all, with what it has already."""
    context_mib: float | None = None
    """The least that its process had beside the parts of a model, after jobs with this model."""
    ready_mib: float | None = None
    """What such a process had beside a model on a CPU, after its jobs or else before the first;
    None before there was one."""
    pinned: str | None = None
    """The preset for which the user wants its model to stay; None if it may go."""

    def ready(self, kind: str) -> tuple[float, Known]:
        """What a worker of that kind will have on a CPU once its engine is there, in MiB, and how
        that is known."""
        if self.ready_mib is not None:
            return self.ready_mib, "measured"
        return CONTEXT_LLM_MIB if kind == LLM_ENGINE else CONTEXT_MIB, "assumed"


class Situation(NamedTuple):
    """The device and its workers, as the one sees them that would run a request."""

    status: VramStatus
    worker: str
    """Kind of the one that would run it."""
    uses: Mapping[str, Use] = {}
    """Kind of a worker -> how it is used."""
    displaces: str | None = None
    """The model of its own that is pinned, and that the request is not for."""
    system_mib: float | None = None
    """What the worker may have of the system's memory, with what its model has already; None if
    that is not known."""
    wanted: str | None = None
    """The preset of the model that the request needs."""
    holds: bool = False
    """Whether the worker has that model, whichever preset it was loaded for."""

    @property
    def own(self) -> Holding | None:
        """What the worker itself has."""
        return next((each for each in self.status.holdings if each.worker == self.worker), None)

    @property
    def held_mib(self) -> float:
        """What the request can use of that."""
        return 0.0 if self.own is None else self.own.mib

    @property
    def context(self) -> tuple[float, Known]:
        """What its process has beside a model on a CPU, or will have, in MiB; and how that is
        known."""
        own, use = self.own, self._use(self.worker)
        if own is None or own.importing:
            return use.ready(self.worker)
        return max(0.0, own.mib - sum(part.mib for part in own.parts)), "measured"

    @property
    def least_context(self) -> tuple[float, Known]:
        """The same without what the job before has left, which can be used again."""
        has, known = self.context
        own, least = self.own, self._use(self.worker).context_mib
        if own is None or own.importing or least is None:
            return has, known
        return max(0.0, min(least, has)), known

    @property
    def gpu_context(self) -> tuple[float, Known]:
        """What its process has of a GPU beside a model, or will have, in MiB; and how that is
        known."""
        return registry.context(() if self.own is None else self.own.parts)

    @property
    def residents(self) -> list[Resident]:
        """The other workers."""
        return [
            _resident(each, self._use(each.worker), self._will_have_mib(each))
            for each in self._others
        ]

    @property
    def device(self) -> Device:
        """What it has left, and what others will take of that: their jobs, and what they import."""
        have = {each.worker for each in self.status.holdings}
        promised = (
            use.promised_mib
            for kind, use in self.uses.items()
            if kind != self.worker and kind not in have
        )
        owed = (self._will_have_mib(each) - each.mib for each in self._others)
        free_mib = self.status.device.free_mib
        return Device(free_mib, sum(owed) + sum(promised), self.system_mib)

    @property
    def loads(self) -> bool:
        """Whether the worker has the model of the request yet to load."""
        parts = () if self.own is None else self.own.parts
        return not self.holds or not any(part.name.startswith("weights.") for part in parts)

    @property
    def _others(self) -> list[Holding]:
        return [each for each in self.status.holdings if each.worker != self.worker]

    def _use(self, kind: str) -> Use:
        return self.uses.get(kind, Use())

    def _will_have_mib(self, other: Holding) -> float:
        use = self._use(other.worker)
        ready = use.ready(other.worker)[0] if other.importing else 0.0
        return max(other.mib, use.promised_mib, ready)


def plan(
    params: ResolvedParams,
    profile: ImageProfile,
    situation: Situation,
    threads: int,
    allowed: Allowed,
    asked: Sequence[str] = (),
    known: Experience = Experience(),  # noqa: B008  # is immutable
) -> Plan:
    """What pictures would take, and what would be done for them.

    Args:
        profile: of their model, with envelopes for one picture and for as many as are asked for.
        threads: that the worker computes with.
        asked: mitigations that there have to be, so that pixels come out as once before; those
            that keep them do not matter.
    """
    needed = without_offload(asked)
    around = _surroundings(profile, situation, threads)
    size = Size(params.width, params.height, params.num_images)
    of_request = Asked.of(profile, params)
    residents, device = situation.residents, situation.device
    plainly = ways.ways(profile, size, of_request)[0]
    request = Request(
        [_variant(profile, plainly, around, known, situation.loads)],
        situation.held_mib,
        displaces=situation.displaces,
        wanted=situation.wanted,
    )
    if not needed and (made := decide(request, residents, device)).decision == "proceed":
        # Nothing is milder; and nearly all jobs fit, each of which would pay for the other ways.
        return made
    found = _variants(profile, size, of_request, around, known, situation)
    request = Request(
        variants=_having(needed, found),
        held_mib=situation.held_mib,
        seconds=known.seconds(()) or 0.0,
        allowed=allowed,
        displaces=situation.displaces,
        wanted=situation.wanted,
    )
    made = decide(request, residents, device)
    if made.fits or request.displaces is not None:
        return made

    def needs_mib(smaller: Size) -> float:
        found = _variants(profile, smaller, of_request, around, known, situation)
        able = (each for each in found if is_allowed(each, allowed) and device.has_beside(each))
        return min((each.total_mib for each in able), default=math.inf)

    fitting = suggest(size, needs_mib, most_mib(residents, device, request.held_mib))
    return made.model_copy(update={"suggestion": fitting})


def timed(plan: Plan, seconds: Seconds) -> Plan:
    """The plan, with how long it takes as far as that is known."""
    took, plain = seconds(plan.mitigations), seconds(())
    if took is not None:
        return plan.model_copy(update={"seconds": took, "seconds_known": "measured"})
    if plain is not None:
        longer = plain * plan.slowdown
        return plan.model_copy(update={"seconds": longer, "seconds_known": plan.slowdown_known})
    return plan


def works(params: ResolvedParams, profile: ImageProfile) -> list[ImageWork]:
    """What each way means that `plan` looks at, as far as weights stay on the device."""
    size = Size(params.width, params.height, params.num_images)
    found = ways.ways(profile, size, Asked.of(profile, params))
    return [way.work for way in found if way.offload is None]


def _variants(
    profile: ImageProfile,
    size: Size,
    asked: Asked,
    around: Surroundings,
    known: Experience,
    situation: Situation,
) -> Sequence[Variant]:
    """The plain way first, and none for which the system's memory has no room; if it has room for
    none, the plain one."""
    device, loads = situation.device, situation.loads
    all_ways = ways.ways(profile, size, asked)
    found = [_variant(profile, way, around, known, loads) for way in all_ways]
    return [each for each in found if device.has_beside(each)] or found[:1]


def _variant(
    profile: ImageProfile, way: Way, around: Surroundings, known: Experience, loads: bool
) -> Variant:
    names, offload, decoding = way.mitigations, way.offload, without_offload(way.mitigations)
    terms = image.predict(profile, way.work, around, known.factors(decoding), offload).terms
    if profile.device == "cuda":
        plain = image.predict(profile, way.work, around, offload=offload)
        # What was found out is with all weights on the device from the beginning.
        found = known.reserved.get(way.work) if offload is None else None
        terms = (*terms, reserve.term(plain, found))
    slowdown, slowdown_known = known.slowdown(way)
    return Variant(
        terms,
        names,
        _kind(way),
        changes_pixels=bool(decoding),
        slowdown=slowdown,
        slowdown_known=slowdown_known,
        system_terms=image.beside(profile, way.work, around.threads, offload, loads),
    )


def _kind(way: Way) -> Literal["proceed", "mitigate", "offload"]:
    if way.offload is not None:
        return "offload"
    return "mitigate" if way.mitigations else "proceed"


def _having(asked: Sequence[str], variants: Sequence[Variant]) -> Sequence[Variant]:
    """Those ways that have all that was asked for; if none does, those with most."""
    found = [each for each in variants if set(asked) <= set(each.mitigations)]
    if found:
        return found
    beside = [each for each in variants if ways.ON_CPU in each.mitigations]
    if beside and ways.ON_CPU in asked:
        # How it is decoded there is all the same to the device.
        return [each._replace(mitigations=(*asked, *_offload(each))) for each in beside]
    rest = [each for each in variants if each not in beside]
    most = max(len(without_offload(each.mitigations)) for each in rest)
    return [each for each in rest if len(without_offload(each.mitigations)) == most]


def _offload(variant: Variant) -> tuple[str, ...]:
    return variant.mitigations[len(without_offload(variant.mitigations)) :]


def _surroundings(profile: ImageProfile, situation: Situation, threads: int) -> Surroundings:
    context, known = situation.least_context if profile.device == "cpu" else situation.gpu_context
    return Surroundings(
        context_bytes=round(context * MIB),
        context_known=known,
        workspace_bytes=CUBLAS_BYTES if profile.device == "cuda" else 0,
        threads=threads,
    )


def _resident(holding: Holding, use: Use, will_have_mib: float) -> Resident:
    return Resident(
        name=holding.worker,
        preset=holding.preset,
        # Its job is over before it goes, and with it what that was promised; what it would import
        # is not taken either.
        model_mib=will_have_mib,
        context_mib=registry.conversation_mib(holding.parts),
        idle_s=use.idle_s,
        # Without a model, it is the start of a process.
        reload_s=use.reload_s,
        context_s=_CONTEXT_S,
        busy=use.busy,
        pinned=use.pinned,
    )
