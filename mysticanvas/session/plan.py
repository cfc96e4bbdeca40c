"""A plan, as a notebook shows it."""

from __future__ import annotations

import html
import itertools

from mysticanvas.contracts import plan
from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.errors import DoesNotFit
from mysticanvas.session import bar


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
        told = self.explain()
        terms = [term for term in self.terms if plan.is_told(term)]
        shares = [
            bar.Share(f"{term.name} ({term.known})", term.mib, colour)
            for term, colour in zip(terms, itertools.cycle(bar.COLOURS), strict=False)
        ]
        lines = html.escape(told)
        for term, share in zip(terms, shares, strict=True):
            line = html.escape(plan.line(term))
            # A line begins with spaces, the first of which makes room.
            lines = lines.replace(f"\n{line}", f"\n{bar.square(share.colour)}{line[1:]}", 1)
        meter = bar.of(shares, max(self.total_mib, self.free_mib), told)
        return (
            f'<div style="max-width:40em">{meter}'
            f'<pre style="margin:.3em 0;font-size:90%">{lines}</pre></div>'
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
