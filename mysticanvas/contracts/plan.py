"""What a request would take, and what would be done for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import JsonValue

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.contracts.memory import Known, Term
from mysticanvas.contracts.presets import ImagePreset

Decision = Literal["proceed", "soft_unload", "mitigate", "hard_unload", "offload", "refuse"]
"""The most far-reaching of the actions: nothing, dropping an assistant's context, running the
request in another way, ending a process with its model, keeping weights in system memory, or
nothing helps."""
SLOW = 3.0
"""Times as long as usual from which it is said before it starts."""
_MANY_PX = 4.0
"""Times as many pixels from which it is said that nobody knows how long they take."""


class PlanRequest(GenerateRequest):
    """Body of `POST /v1/plan`: what is to be planned."""

    preset: ImagePreset | None = None
    """Instead of the one that `params` names: it need not be saved, and is not."""

    def changed(self, changes: Mapping[str, JsonValue]) -> dict[str, Any]:
        asked = super().changed(changes)
        return asked if self.preset is None else {**asked, "preset": self.preset}


class Action(Contract):
    """One thing that is done before or while the request runs."""

    kind: Decision
    target: str
    """The model that is unloaded, or the names of the mitigations."""
    worker: str = ""
    """Kind of the worker that has that model."""
    frees_mib: float
    """What it gives back, or saves."""
    why: str

    def notice(self) -> str:
        """A sentence for whoever waits for the request."""
        if self.worker:
            return f"{self.why[0].upper()}{self.why[1:]}."
        return f"To make room: {self.why}."


class Way(Contract):
    """One way to run the request, of those that were looked at."""

    kind: Decision
    """`proceed` for the plain one, `mitigate` or `offload`."""
    mitigations: tuple[str, ...] = ()
    total_mib: float


class Plan(Contract):
    """See the module."""

    decision: Decision
    actions: list[Action] = []
    terms: list[Term]
    """What the request takes in the way that was chosen; in the smallest that is allowed if it is
    refused."""
    total_mib: float
    """Their sum."""
    system_terms: list[Term] = []
    """What it takes of the system's memory in that way, where that is not the device: weights that
    lie there, if only while they are loaded, what is decoded on the CPU, and layers of a language
    model."""
    system_free_mib: float | None = None
    """What it may have of the system's memory; None if that is not known."""
    free_mib: float
    """What the device has left for it before anything is done."""
    held_mib: float = 0.0
    """What its own process has of the total already."""
    ways: list[Way] = []
    """Those that were looked at, the plain one first: not all, if that one fits as it is."""
    changes_pixels: bool = False
    slowdown: float = 1.0
    """How many times as long as without mitigations."""
    slowdown_known: Known = "assumed"
    """`measured` if such jobs have run in both ways."""
    mitigations: tuple[str, ...] = ()
    """Ways in which the request is run with less memory; names as in a recipe."""
    waits_for: list[str] = []
    """Models at work, whose jobs are finished first."""
    pinned: list[str] = []
    """Models that the user wants to stay, without which it would fit; only if it does not."""
    seconds: float | None = None
    """How long it takes without loading the model: by jobs that ran in this way, or by those that
    ran plainly and the slow-down; None where there were neither."""
    seconds_known: Known | None = None
    times_usual_px: float = 1.0
    """Pixels of all its pictures, as a multiple of one in the size that the model draws by itself;
    1 of a language model."""
    suggestion: dict[str, JsonValue] = {}
    """Arguments that fit; only if this does not."""

    @property
    def fits(self) -> bool:
        """Whether it can be run at all."""
        return self.decision != "refuse"

    @property
    def system_mib(self) -> float:
        """Sum of `system_terms`."""
        return sum(term.mib for term in self.system_terms)

    @property
    def lacks_system_memory(self) -> bool:
        """Whether it is the system's memory that has no room for it."""
        return self.system_free_mib is not None and self.system_mib > self.system_free_mib

    def explain(self) -> str:
        """The plan in words, a line for each term and action."""
        # Where there is room for all of it anyway, it would only be one more figure.
        tight = self.held_mib > 0 and self.total_mib > self.free_mib
        held = f" ({self.held_mib:,.0f} MiB held already)" if tight else ""
        free = f"{self.free_mib:,.0f} MiB free"
        lines = [f"{self.total_mib:,.0f} MiB needed{held}, {free}: {self._told()}"]
        lines += [line(term) for term in self.terms if is_told(term)]
        if self.system_terms:
            free = "" if self.system_free_mib is None else f", {self.system_free_mib:,.0f} MiB free"
            lines.append(f"  of system memory{free}:")
            lines += [line(term) for term in self.system_terms if is_told(term)]
        lines += [f"  {action.why}" for action in self.actions]
        if self.waits_for:
            lines.append(f"  waits until {' and '.join(self.waits_for)} is done")
        if self.pinned:
            lines.append(f"  {self.in_the_way()}")
        if self.fits and self.slowdown >= SLOW:
            lines.append(
                f"  will take about {self.slowdown:.0f} times as long ({self.slowdown_known})"
            )
        if self.fits and (how_long := self._how_long()):
            lines.append(f"  {how_long}")
        if self.fits and self.changes_pixels:
            lines.append("  changes pixels, which the picture's recipe will say")
        if self.suggestion:
            given = ", ".join(f"{name}={value!r}" for name, value in self.suggestion.items())
            lines.append(f"  this would fit: {given}")
        return "\n".join(lines)

    def notices(self) -> list[str]:
        """What whoever waits for the request should know, a sentence each."""
        told = [action.notice() for action in self.actions]
        if self.slowdown >= SLOW:
            is_measured = self.slowdown_known == "measured"
            takes = "Such a job took" if is_measured else "This is assumed to take"
            told.append(f"{takes} {self.slowdown:.0f} times as long as usual.")
        return told

    def in_the_way(self) -> str:
        """Which pinned models are, and what to do; empty if none are."""
        told = [
            f"{name!r} is pinned and in the way: canvas.unload({name!r}) gives its memory back, "
            f"canvas.pin({name!r}, False) lets it go when room is needed."
            for name in self.pinned
        ]
        return " ".join(told)

    def _how_long(self) -> str:
        if self.seconds is not None:
            return f"takes about {_seconds(self.seconds)} ({self.seconds_known})"
        if self.times_usual_px < _MANY_PX:
            return ""
        return (
            f"how long it takes is not known: {self.times_usual_px:,.0f} times the pixels of a "
            "picture in the model's own size"
        )

    def _told(self) -> str:
        if self.decision == "refuse":
            return "does not fit"
        return "fits as it is" if self.decision == "proceed" else "fits with what follows"


def is_told(term: Term) -> bool:
    """Whether so much is needed for it that words are worth it."""
    return round(term.mib) > 0


def line(term: Term) -> str:
    """How a plan tells a term."""
    return f"  {term.mib:9,.0f} MiB  {term.name} ({term.known})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


class MadeRoom(Contract):
    """Data of a `vram` event: room is made for a job, or it is run in another way."""

    job_id: str
    plan: Plan

    def __str__(self) -> str:
        return " ".join(self.plan.notices())
