"""Calls whose result outgrows what they are given, in ways that DuckDB's limits do not see.

A value is made in one step. Nothing interrupts that, and what is under way in it is not counted as
memory. So a query keeps to its limits as long as no step multiplies: however calls are nested, what
goes into each is counted. A function passes if its result is about as large as its arguments are
together. Where a number or a template decides instead, it is refused (`REFUSED`), or has to be
given a short constant for it, which says how much the result can be (`reason`). What multiplies in
memory that is counted, such as a lambda over lists, may take longer than it should, and no more.
"""

from __future__ import annotations

import re
from typing import Any

MAX_CHARS = 100
"""Of a constant that decides how large a result is."""
_ALLOWED = f"has to be text in the query itself, of at most {MAX_CHARS} characters"
_LARGE = re.compile(r"\d{4}|\*|\{[^}]*\{")
"""In a template: a width or precision of thousands, or one that is an argument."""

REFUSED = frozenset(
    {
        # A number says how large the result is.
        "array_resize",
        "bar",
        "bitstring",
        "bitstring_agg",
        "equi_width_bins",
        "generate_series",
        "list_resize",
        "lpad",
        "range",
        "repeat",
        "rpad",
        # A number says how much memory is taken. Without as much, DuckDB itself may stop.
        "approx_top_k",
        "reservoir_quantile",
    }
)
TEMPLATES = frozenset({"format", "printf"})
REPLACING = frozenset({"regexp_replace", "replace"})
AGGREGATING = frozenset(
    {"aggregate", "array_aggr", "array_aggregate", "list_aggr", "list_aggregate"}
)
"""They call the aggregate that their second argument names."""


def reason(name: str, arguments: list[dict[str, Any]]) -> str | None:
    """Why a call is refused, as a sentence; None if it is not.

    Args:
        name: of the function, in lower case.
        arguments: as the parser gives them.
    """
    if name in TEMPLATES and arguments:
        template = _constant(arguments[0])
        if template is None:
            return f"The first argument of {name} {_ALLOWED}."
        if _LARGE.search(template):
            return f"A width or precision in the template of {name} has to be less than 1,000."
    if name in AGGREGATING and len(arguments) > 1:
        called = _constant(arguments[1])
        if called is None:
            return f"The second argument of {name} {_ALLOWED}."
        if called.lower() in REFUSED:
            return f"The function {called} is not allowed."
    # That of `replace` may also put what is large into what is short.
    if name in REPLACING and len(arguments) > 2 and _constant(arguments[2]) is None:
        if name == "replace" and _constant(arguments[0]) is not None:
            return None
        return f"The third argument of {name} {_ALLOWED}."
    return None


def _constant(argument: dict[str, Any]) -> str | None:
    """The text of a short constant; None of anything else."""
    if argument.get("class") != "CONSTANT":
        return None
    text = str(argument["value"].get("value", ""))
    return text if len(text) <= MAX_CHARS else None
