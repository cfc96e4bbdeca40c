"""From a language model with a context, and who has the memory, to a plan: pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from mysticanvas.contracts.memory import MemoryPart, Term
from mysticanvas.contracts.plan import Plan
from mysticanvas.orchestrator.arbiter import registry
from mysticanvas.orchestrator.arbiter.planning import MIB, Situation
from mysticanvas.orchestrator.arbiter.policy import Request, Variant, decide, most_mib
from mysticanvas.orchestrator.arbiter.suggestion import suggest_context
from mysticanvas.vram import image, llm

Needs = Callable[[int], Sequence[MemoryPart]]
"""Gives for the tokens of a context what a language model takes with it, and where."""


def plan(needs: Needs, n_ctx: int, situation: Situation) -> Plan:
    """What a language model with a context would take, and what would be done for it.

    Args:
        needs: for contexts of at most so many tokens.
        n_ctx: tokens that are asked for.
    """

    def variant(tokens: int) -> Variant:
        return _variant(needs(tokens), situation)

    residents, device = situation.residents, situation.device
    request = Request(
        [variant(n_ctx)],
        held_mib=situation.held_mib,
        displaces=situation.displaces,
        wanted=situation.wanted,
    )
    made = decide(request, residents, device)
    if made.fits or request.displaces is not None:
        return made

    def needs_mib(tokens: int) -> float:
        found = variant(tokens)
        return found.total_mib if device.has_beside(found) else math.inf

    fitting = suggest_context(n_ctx, needs_mib, most_mib(residents, device, request.held_mib))
    return made.model_copy(update={"suggestion": fitting})


def _variant(parts: Sequence[MemoryPart], situation: Situation) -> Variant:
    """The one way to run it: what of it lies on the device, and on a GPU what lies beside it."""
    if not situation.status.is_gpu:
        # The device is the system's memory; or nobody has seen the GPU yet, and others share it.
        return Variant(_on_device(parts, situation))
    there = registry.counting(parts, on_gpu=True)
    beside = registry.counting(parts, on_gpu=False)
    return Variant(
        # Without a layer there, it has no context of the GPU either.
        _on_device(there, situation) if there else (),
        system_terms=tuple(_terms(beside)),
    )


def _on_device(parts: Sequence[MemoryPart], situation: Situation) -> tuple[Term, ...]:
    mib, known = situation.gpu_context if situation.status.is_gpu else situation.context
    activations = sum(part.mib for part in parts if part.name in (llm.COMPUTE, llm.OUTPUT))
    return (
        Term(name="context", mib=mib, known=known),
        *_terms(parts),
        Term(name="safety", mib=image.safety(round(activations * MIB)) / MIB, known="assumed"),
    )


def _terms(parts: Sequence[MemoryPart]) -> Iterator[Term]:
    """One for each name."""
    sizes: dict[str, float] = {}
    for part in parts:
        sizes[part.name] = sizes.get(part.name, 0.0) + part.mib
    known = {part.name: part.known for part in parts}
    return (Term(name=name, mib=mib, known=known[name]) for name, mib in sizes.items())
