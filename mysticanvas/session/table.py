"""Tables as HTML, for display."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

# A notebook's own style has everything end at the right of its column.
_LEFT = ' style="text-align:left"'
_ABOVE = ' style="text-align:left;padding:.5em"'


def of(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    none: str = "none yet",
) -> str:
    """A table.

    Args:
        columns: what is above them.
        rows: cells, which are shown as text; None for an empty one.
        title: what it is a table of.
        none: what is said in its place if it has no rows.
    """
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    if not body:
        return f"<p>{html.escape(f'{title}: {none}' if title else none)}</p>"
    caption = f"<caption{_ABOVE}>{html.escape(title)}</caption>" if title else ""
    head = "".join(f"<th{_LEFT}>{html.escape(column)}</th>" for column in columns)
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def rest(count: int, what: str = "more") -> str:
    """What is below a table, or pictures, of which some were left out: how many those are."""
    return f"<p>and {count:,} {what}</p>" if count > 0 else ""


def _cell(value: object) -> str:
    return f"<td{_LEFT}>{html.escape('' if value is None else str(value))}</td>"
