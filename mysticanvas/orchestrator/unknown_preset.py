"""What is said of an image preset that nothing is known of."""

from __future__ import annotations

import difflib

from mysticanvas.contracts import params
from mysticanvas.errors import InvalidRequest
from mysticanvas.orchestrator import hub, library
from mysticanvas.store import Store

_DRAWING = ("image", "other")
"""Kinds of models that may draw: what lies in no folder of a kind may be anything."""


def error(name: str, store: Store) -> InvalidRequest:
    """The error, with what may have been meant."""
    known = [preset.name for preset in store.presets.list()]
    names = ", ".join(map(repr, known))
    listed = _listed(name, store)
    hint = (
        f"{_guess(name, known)}There are: {names}. Or give the path of a diffusers folder or a "
        ".safetensors file."
        if listed is None
        else f"A model of that name is on this machine: preset={listed!r} draws with it."
    )
    return InvalidRequest(
        f"There is no preset {name[:80]!r}, and no folder or file of that path.",
        hint=hint,
        parameter="preset",
        value=name[:80],
        allowed=params.ALLOWED["preset"],
    )


def _listed(name: str, store: Store) -> str | None:
    """Where the first model of a name lies that may draw; None if there is none."""
    models = library.everywhere(store, name)
    return next((m.path for m in models if m.name == name and m.kind in _DRAWING), None)


def _guess(name: str, known: list[str]) -> str:
    """What may have been meant, as the beginning of a hint; empty if nothing comes near."""
    hub_id = hub.of_address(name)
    if hub_id is not None:
        return (
            f"Did you mean the hub id {hub_id!r}? canvas.models.pull({hub_id!r}).result() fetches "
            "it. "
        )
    lowered = {each.lower(): each for each in known}
    nearest = difflib.get_close_matches(name.lower(), lowered, 1)
    return f"Did you mean {lowered[nearest[0]]!r}? " if nearest else ""
