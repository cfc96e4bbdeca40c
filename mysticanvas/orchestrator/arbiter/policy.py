"""What is done so that a request fits on a device: a pure decision.

Every way to make room is looked at, and the mildest that is enough is taken. Measures are milder
the earlier they stand in `ORDER`. Among ways that reach equally far, pixels are kept if they can
be, and then the fewest seconds are lost: those of running in another way, and those of loading
again what is unloaded, as far as it is likely to be asked for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from mysticanvas.contracts.memory import Known, Term
from mysticanvas.contracts.mitigations import Allowed
from mysticanvas.contracts.plan import Action, Decision, Plan, Way
from mysticanvas.vram.image import LOADING, OFFLOADED

ORDER: tuple[Decision, ...] = ("proceed", "soft_unload", "mitigate", "hard_unload", "offload")
HALF_LIFE_S = 300.0
"""Seconds without use after which a model is half as likely to be asked for again. Together with
what a reload costs it keeps two models from pushing each other out by turns: the one that was just
used is the dearest."""


class Resident(NamedTuple):
    """A model on the device that is not the request's own."""

    name: str
    """Kind of the worker that has it."""
    model_mib: float
    """What the end of its process gives back: weights, its share of the device's context, and the
    context below."""
    context_mib: float = 0.0
    """What dropping its context alone gives back: the KV cache and buffers of a language model."""
    idle_s: float = 0.0
    """Seconds since it was last used."""
    reload_s: float = 0.0
    context_s: float = 0.0
    """Seconds to load the model, and to make its context, again."""
    pinned: str | None = None
    """The preset for which the user wants it to stay; None if it may go."""
    busy: bool = False
    preset: str | None = None
    """Whose model it is; None if there is only the process."""

    @property
    def called(self) -> str:
        """As users know it."""
        return self.preset or f"the {self.name} worker"


class Variant(NamedTuple):
    """One way to run the request."""

    terms: tuple[Term, ...]
    """What it takes, with what its own model takes already."""
    mitigations: tuple[str, ...] = ()
    kind: Literal["proceed", "mitigate", "offload"] = "proceed"
    changes_pixels: bool = False
    slowdown: float = 1.0
    """How many times as long as the plain way."""
    slowdown_known: Known = "assumed"
    system_terms: tuple[Term, ...] = ()
    """What it takes of the system's memory, where that is not the device."""

    @property
    def total_mib(self) -> float:
        return sum(term.mib for term in self.terms)

    @property
    def system_mib(self) -> float:
        return sum(term.mib for term in self.system_terms)


class Request(NamedTuple):
    """What is to be run."""

    variants: Sequence[Variant]
    """The plain way first."""
    held_mib: float = 0.0
    """What its own process has on the device already."""
    seconds: float = 0.0
    """How long the plain way takes, as far as it is known."""
    allowed: Allowed = "auto"
    displaces: str | None = None
    """A model that is pinned, and would have to leave the request's own process for it."""
    wanted: str | None = None
    """The preset of its model, for which room is made."""


class Device(NamedTuple):
    """A device as it is now, the memory that its owner sees as free."""

    free_mib: float
    committed_mib: float = 0.0
    """What jobs that are starting will take and do not have yet."""
    system_mib: float | None = None
    """What a request may have of the system's memory beside it; None if that is not known."""

    @property
    def available_mib(self) -> float:
        return self.free_mib - self.committed_mib

    def has_beside(self, variant: Variant) -> bool:
        """Whether the system's memory has room for what is not on the device."""
        return self.system_mib is None or variant.system_mib <= self.system_mib


class _Way(NamedTuple):
    """A variant, and what is done to each resident for it."""

    variant: Variant
    dropped: tuple[Resident, ...]
    ended: tuple[Resident, ...]

    @property
    def frees_mib(self) -> float:
        return sum(each.context_mib for each in self.dropped) + sum(
            each.model_mib for each in self.ended
        )

    @property
    def decision(self) -> Decision:
        unload: Decision = "hard_unload" if self.ended else "soft_unload"
        kinds: tuple[Decision, Decision] = (
            self.variant.kind,
            unload if self.ended or self.dropped else "proceed",
        )
        return max(kinds, key=ORDER.index)

    def lost_s(self, seconds: float) -> float:
        """Seconds that it is expected to cost more than the plain way with all models staying."""
        return (
            seconds * (self.variant.slowdown - 1)
            + sum(each.context_s * _likely(each) for each in self.dropped)
            + sum(each.reload_s * _likely(each) for each in self.ended)
        )

    def rank(self, seconds: float) -> tuple[int, bool, float, float, int, float]:
        """Less is better. Where the rest is equal, which it is of variants while it is not known
        how long they take, the quicker; then fewer measures and less that is given back."""
        measures = len(self.variant.mitigations) + len(self.dropped) + len(self.ended)
        return (
            ORDER.index(self.decision),
            self.variant.changes_pixels,
            self.lost_s(seconds),
            self.variant.slowdown,
            measures,
            self.frees_mib,
        )


def decide(request: Request, residents: Sequence[Resident], device: Device) -> Plan:
    """The plan for a request.

    Models that are pinned stay. Those at work stay too, as long as anything else is enough; if not,
    the plan waits for them. A plan that fits for pinned models alone names them.

    Args:
        residents: at most one for each worker of the device, since all ways are looked at.
    """
    movable = [each for each in residents if not each.pinned]
    idle = [each for each in movable if not each.busy]
    allowed = [each for each in request.variants if is_allowed(each, request.allowed)]
    allowed = allowed or list(request.variants[:1])
    for candidates in (idle, movable) if request.displaces is None else ():
        best = _best(request, allowed, candidates, device)
        if best is not None:
            return _plan(best, request, device, allowed)
    smallest = min(allowed, key=lambda variant: variant.total_mib)
    pinned = [] if request.displaces is None else [request.displaces]
    if (best := _best(request, allowed, residents, device)) is not None:
        pinned += [each.pinned for each in (*best.dropped, *best.ended) if each.pinned]
    return Plan(
        decision="refuse",
        terms=list(smallest.terms),
        system_terms=list(smallest.system_terms),
        system_free_mib=device.system_mib,
        total_mib=smallest.total_mib,
        free_mib=device.available_mib,
        held_mib=request.held_mib,
        ways=_looked_at(allowed),
        changes_pixels=smallest.changes_pixels,
        slowdown=smallest.slowdown,
        slowdown_known=smallest.slowdown_known,
        pinned=pinned,
    )


def most_mib(residents: Sequence[Resident], device: Device, held_mib: float = 0.0) -> float:
    """What a request could have at most, once all that may go has gone: for a suggestion."""
    return (
        device.available_mib
        + held_mib
        + sum(each.model_mib for each in residents if not each.pinned)
    )


def _best(
    request: Request, variants: Sequence[Variant], residents: Sequence[Resident], device: Device
) -> _Way | None:
    enough = (
        way
        for way in _ways([each for each in variants if device.has_beside(each)], residents)
        if way.variant.total_mib - request.held_mib <= device.available_mib + way.frees_mib
    )
    return min(enough, key=lambda way: way.rank(request.seconds), default=None)


def _ways(variants: Sequence[Variant], residents: Sequence[Resident]) -> Iterator[_Way]:
    fates = [("keep", "end", "drop") if each.context_mib else ("keep", "end") for each in residents]
    for variant in variants:
        for chosen in itertools.product(*fates):
            done = list(zip(residents, chosen, strict=True))
            yield _Way(
                variant,
                dropped=tuple(each for each, fate in done if fate == "drop"),
                ended=tuple(each for each, fate in done if fate == "end"),
            )


def is_allowed(variant: Variant, allowed: Allowed) -> bool:
    """Whether the user allows to run it in that way."""
    if allowed == "auto" or variant.kind == "proceed":
        return True
    return allowed == "exact" and not variant.changes_pixels


def _likely(resident: Resident) -> float:
    """How likely it is to be asked for again, 0 to 1."""
    return float(0.5 ** (resident.idle_s / HALF_LIFE_S))


def _looked_at(variants: Sequence[Variant]) -> list[Way]:
    return [
        Way(kind=each.kind, mitigations=each.mitigations, total_mib=each.total_mib)
        for each in variants
    ]


def _plan(way: _Way, request: Request, device: Device, allowed: Sequence[Variant]) -> Plan:
    variant = way.variant
    return Plan(
        decision=way.decision,
        actions=[*_unloads(way, request.wanted), *_mitigations(request, variant)],
        terms=list(variant.terms),
        system_terms=list(variant.system_terms),
        system_free_mib=device.system_mib,
        total_mib=variant.total_mib,
        free_mib=device.available_mib,
        held_mib=request.held_mib,
        ways=_looked_at(allowed),
        changes_pixels=variant.changes_pixels,
        slowdown=variant.slowdown,
        slowdown_known=variant.slowdown_known,
        mitigations=variant.mitigations,
        waits_for=[each.called for each in (*way.dropped, *way.ended) if each.busy],
    )


def _unloads(way: _Way, wanted: str | None) -> Iterator[Action]:
    for each in way.dropped:
        yield Action(
            kind="soft_unload",
            target=each.called,
            worker=each.name,
            frees_mib=each.context_mib,
            why=f"drop the context of {each.called} {_room(wanted)}, "
            f"{_told(each.context_mib, each)}",
        )
    for each in way.ended:
        yield ending(each, wanted)


def ending(resident: Resident, wanted: str | None) -> Action:
    """The end of a resident's process, with its model.

    Args:
        wanted: the preset for which room is made.
    """
    return Action(
        kind="hard_unload",
        target=resident.called,
        worker=resident.name,
        frees_mib=resident.model_mib,
        why=f"unload {resident.called} {_room(wanted)}, {_told(resident.model_mib, resident)}",
    )


def _room(wanted: str | None) -> str:
    return "to make room" if wanted is None else f"to make room for {wanted}"


def _told(mib: float, resident: Resident) -> str:
    if resident.busy:
        used = "at work now"
    elif math.isinf(resident.idle_s):
        used = "not used yet"
    else:
        used = f"last used {resident.idle_s:.0f} s ago"
    return f"which gives {mib:,.0f} MiB back ({used})"


def _mitigations(request: Request, variant: Variant) -> Iterator[Action]:
    if variant.kind == "proceed":
        return
    saved = request.variants[0].total_mib - variant.total_mib
    names = " and ".join(variant.mitigations)
    pixels = "changes pixels" if variant.changes_pixels else "same pixels"
    why = f"{names}, which saves {saved:,.0f} MiB ({pixels})"
    kept = sum(term.mib for term in variant.system_terms if term.name == OFFLOADED)
    if kept:
        why += f" and keeps {kept:,.0f} MiB of weights in system memory"
    rest = sum(term.mib for term in variant.system_terms if term.name not in (OFFLOADED, LOADING))
    if rest:
        why += f" and takes {rest:,.0f} MiB of system memory to decode"
    yield Action(kind=variant.kind, target=names, frees_mib=saved, why=why)
