"""A plan, as a notebook shows it."""

from __future__ import annotations

import html

from mysticanvas.contracts import plan
from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.errors import DoesNotFit

_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d")


class Plan(plan.Plan):
    """What a request would take of the memory, and what would be done for it; shown as a bar.

    `.fits`, `.decision`, `.actions`, `.terms` (each with name, MiB and how it is known),
    `.total_mib`, `.free_mib`, `.seconds` (without loading the model; None where nothing like it
    has run) and `.seconds_known`, `.changes_pixels`, `.suggestion` and `.explain()`.
    """

    @classmethod
    def of(cls, made: plan.Plan, asked: GenerateRequest | None = None) -> Plan:
        """The same plan, to be shown.

        Args:
            asked: for what; a suggestion is then all of it, with what is to be changed.
        """
        shown = cls.model_validate(made.model_dump())
        if asked is None or not shown.suggestion:
            return shown
        return shown.model_copy(update={"suggestion": asked.changed(shown.suggestion)})

    def __repr__(self) -> str:
        return self.explain()

    def __str__(self) -> str:
        return self.explain()

    def _repr_html_(self) -> str:
        room = max(self.total_mib, self.free_mib)
        shares = "".join(
            f'<div title="{html.escape(term.name)}: {term.mib:,.0f} MiB, {term.known}" '
            f'style="width:{100 * term.mib / room:.2f}%;'
            f'background:{_COLOURS[place % len(_COLOURS)]}"></div>'
            for place, term in enumerate(self.terms)
            if term.mib > 0
        )
        told = html.escape(self.explain())
        return (
            '<div style="max-width:40em">'
            '<div style="display:flex;height:1em;border:1px solid #888" role="img" '
            f'aria-label="{told}">{shares}</div>'
            f'<pre style="margin:.3em 0;font-size:90%">{told}</pre></div>'
        )


def shown(error: DoesNotFit, asked: GenerateRequest) -> DoesNotFit:
    """The refusal of a request, with the plan as `canvas.plan` gives it."""
    told = Plan.of(error.plan, asked)
    return DoesNotFit(
        error.detail,
        hint=error.hint,
        request_id=error.request_id,
        **{**error.extra, "plan": told, "suggestion": told.suggestion},
    )
