"""Statements of a search, put together of blocks of SQL and their parameters."""

from __future__ import annotations

from collections.abc import Sequence

from mysticanvas.store import queries
from mysticanvas.store.filters import Clause
from mysticanvas.store.search.tail import Tail

_SQL = queries.load("search")


def statement(block: str, conditions: Sequence[Clause] = (), /, **parts: Clause) -> Clause:
    """A block of SQL with these parts in their places, and the parameters of all of them."""
    texts = {place: part.sql for place, part in parts.items()}
    if conditions:
        texts["conditions"] = " ".join(condition.sql for condition in conditions)
    values: dict[str, object] = {}
    for part in (*parts.values(), *conditions):
        values |= part.parameters
    return Clause(_SQL[block].format(**{"conditions": ""} | texts), values)


def joined(between: str, clauses: Sequence[Clause]) -> Clause:
    """Clauses with something between them."""
    values = {name: value for clause in clauses for name, value in clause.parameters.items()}
    return Clause(between.join(clause.sql for clause in clauses), values)


def hits(numbers: Sequence[int], tail: Tail) -> Clause:
    """The postings of the terms with these numbers."""
    terms = Clause(", ".join(map(str, numbers)), {})
    return statement("hits", terms=terms, current=current(tail))


def current(tail: Tail) -> Clause:
    """The condition that leaves out what the index has of pictures that have changed."""
    return Clause(_SQL["current"], {"hidden": list(tail.hidden)}) if tail.hidden else Clause("", {})


def has(name: str, pieces: Sequence[str], between: str) -> Clause:
    """The condition that pieces of text are there: all of them, or any.

    Args:
        name: what the parameters are called by.
        between: " AND " or " OR ".
    """
    each = [Clause(f"{name}_{place}", {f"{name}_{place}": p}) for place, p in enumerate(pieces)]
    return joined(between, [statement("has", name=clause) for clause in each])
