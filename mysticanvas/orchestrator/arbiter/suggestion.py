"""The largest request that would fit instead of one that does not: pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from pydantic import JsonValue

from mysticanvas.vram import llm

STEP_PX = 64
"""Sides are suggested in multiples of this, which every architecture takes."""


class Size(NamedTuple):
    """What memory depends on most; the names are arguments of `generate`."""

    width: int
    height: int
    num_images: int = 1


def suggest(
    asked: Size, needs_mib: Callable[[Size], float], capacity_mib: float
) -> dict[str, JsonValue]:
    """Arguments that fit in place of those that do not; empty if nothing does.

    Fewer pictures of the same size, if one of them fits; otherwise one, in about the same shape.

    Args:
        needs_mib: what a size takes; more for more.
        capacity_mib: what it could have at most.
    """

    def fits(size: Size) -> bool:
        return needs_mib(size) <= capacity_mib

    pictures = _most(asked.num_images - 1, lambda n: fits(asked._replace(num_images=n)))
    if pictures:
        return {"num_images": pictures}
    steps = max(asked.width, asked.height) // STEP_PX
    longest = _most(steps, lambda k: fits(_scaled(asked, k)))
    if not longest:
        return {}
    smaller = _scaled(asked, longest)
    wanted: dict[str, JsonValue] = {"width": smaller.width, "height": smaller.height}
    return wanted if asked.num_images == 1 else wanted | {"num_images": 1}


def suggest_context(
    asked: int, needs_mib: Callable[[int], float], capacity_mib: float
) -> dict[str, JsonValue]:
    """The longest context that fits in place of one that does not, as an argument of a preset;
    empty if none does.

    Args:
        asked: tokens.
        needs_mib: what a model takes with a context of so many tokens; more for more.
        capacity_mib: what it could have at most.
    """
    shorter = (asked - 1) // llm.STEP
    steps = _most(shorter, lambda k: needs_mib(k * llm.STEP) <= capacity_mib)
    return {"n_ctx": steps * llm.STEP} if steps else {}


def _scaled(asked: Size, steps: int) -> Size:
    """One picture whose longer side is that many steps long, at most as large as what was asked."""
    scale = steps * STEP_PX / max(asked.width, asked.height)
    sides = (max(1, int(side * scale) // STEP_PX) * STEP_PX for side in asked[:2])
    return Size(*sides)


def _most(largest: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 on that fits, 0 if none does; those below it fit as well."""
    return bisect_right(range(1, largest + 1), False, key=lambda k: not fits(k))
