"""How large a value can be that an expression of a query makes, from the query alone.

A size is told in columns: what a column of the views usually holds, for which text of 100
characters is taken, is 1. What calls make of their arguments adds up or multiplies, however they
are nested and through whatever subqueries and CTEs, and a query is refused in which any of it can
be larger than `MAX_SIZE`. How large columns, parameters and texts of many rows really are, nobody
knows before the query runs; so this is a bound of what the query makes of them, and not of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mysticanvas.store import growth

MAX_SIZE = 200.0
"""Of one value. Constants alone cannot reach it, since a query is not that long."""
MAX_STEPS = 300_000
"""Nodes that are looked at. Bodies of lambdas and recursive CTEs are looked at several times."""
_ROUNDS = 15
"""Of a recursion, which are followed: enough for what doubles, and not for what only adds."""
_VIEW = 30.0
"""A whole row of a view."""
_MAPPING = frozenset({"apply", "array_apply", "array_transform", "list_apply", "list_transform"})
_FILTERING = frozenset({"array_filter", "filter", "list_filter"})
_REDUCING = frozenset({"array_reduce", "list_reduce", "reduce"})
_NUMBERS = frozenset({"-", "*", "/", "//", "%", "^", "**", "&", "|", "<<", ">>", "~", "@"})
"""Operators that give a number. `+` also joins lists."""
_PARTS = frozenset(
    {
        "array_extract",
        "array_slice",
        "element_at",
        "left",
        "list_element",
        "list_extract",
        "list_slice",
        "right",
        "split_part",
        "struct_extract",
        "substr",
        "substring",
    }
)
"""They give a part of their first argument."""

Name = bytes | int
Columns = dict[Name, float]
"""Name -> size, in order; under a number what has no name that is known."""
_OTHERS = -1
"""For the columns of a view, of whatever name."""


class TooMuch(Exception):
    """What a part of the query makes can be too large; says which, as a sentence."""


class TooManySteps(Exception):
    """The query is too complicated to be estimated."""


class Scope(NamedTuple):
    """What names mean at some place of a query."""

    columns: Mapping[Name, float]
    rows: Mapping[Name, float]
    """Sources by name, which an expression can take as one value."""
    ctes: Mapping[Name, Columns]

    def seeing(self, columns: Mapping[Name, float]) -> Scope:
        """With more columns."""
        return self._replace(columns=_larger(self.columns, columns))

    def size(self, names: list[str]) -> float:
        """Of a reference, which may name a table and members, too."""
        folded = [folded_name(name) for name in names]
        known = [self.columns[name] for name in folded if name in self.columns]
        if len(folded) == 1 and folded[0] in self.rows:
            known.append(self.rows[folded[0]])
        nameless = (size for name, size in self.columns.items() if isinstance(name, int))
        return max(known) if known else max(1.0, *nameless, 1.0)


def folded_name(name: str) -> bytes:
    """As DuckDB compares names. It folds ASCII alone: to Python, a Kelvin sign would be a k."""
    return name.encode().lower()


def check(statements: Any) -> None:
    """Refuse a query that can make too much of little.

    Args:
        statements: as the parser gives them.

    Raises:
        TooMuch: it can.
        TooManySteps: it is too complicated to tell.
    """
    _Estimate().visit(statements, Scope({}, {}, {}))


class _Estimate:
    """Goes through a tree; one frame of Python's a level or two, since trees are deep."""

    def __init__(self) -> None:
        self._steps = 0

    def visit(self, part: Any, scope: Scope) -> float:
        """The size of an expression, a query, or all of several together."""
        if isinstance(part, list):
            total = 0.0
            for each in part:
                total += self.visit(each, scope)
            return total
        if not isinstance(part, dict):
            return 0.0
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooManySteps
        kind = part.get("class")
        if kind == "CONSTANT":
            return growth.constant(part)
        if kind == "COLUMN_REF":
            return scope.size(part["column_names"])
        if kind == "PARAMETER":
            return 1.0
        if kind == "POSITIONAL_REFERENCE":
            return max(1.0, *scope.columns.values(), 1.0)
        if kind == "STAR":
            return max(1.0, sum(scope.rows.values())) + self.visit(_rest(part), scope)
        if kind in ("FUNCTION", "WINDOW"):
            return _checked(part["function_name"], self._call(part, scope))
        if kind in ("COMPARISON", "CONJUNCTION", "BETWEEN"):
            self.visit(_rest(part), scope)
            return 0.0
        if kind == "CAST":
            size = max(self.visit(part["child"], scope), 20 * growth.LEAST)
            times = 8 if part["cast_type"]["id"] == "BIT" else 1
            return _checked("a cast", times * size)
        if str(part.get("type", "")).endswith("_NODE"):
            return max(self._query(part, scope).values(), default=0.0)
        # Of a CASE or COALESCE one part is the result, of a subscript a part of one.
        largest = 0.0
        for each in _parts(part):
            largest = max(largest, self.visit(each, scope))
        return 0.0 if str(part.get("type")).startswith("COMPARE_") else largest

    def _call(self, node: dict[str, Any], scope: Scope) -> float:
        name = node["function_name"].lower()
        arguments = node["children"]
        self.visit([part for key, part in node.items() if key != "children"], scope)
        if name in _MAPPING | _FILTERING | _REDUCING and _is_lambda(arguments):
            return self._over_elements(name, arguments, scope)
        text, pairs = growth.replacements(node)
        if pairs:
            return max(growth.LEAST, self.visit(text, scope)) * growth.replaced(pairs)
        sizes: list[float] = []
        for argument in arguments:
            # A comprehension would be one more frame.
            sizes.append(self.visit(argument, scope))  # noqa: PERF401
        if name in _NUMBERS:
            return 0.0
        if name in _PARTS and sizes:
            return sizes[0]
        if name == "+":
            return sum(sizes)
        sizes = [max(growth.LEAST, size) for size in sizes]
        return growth.called(name, arguments, sizes)

    def _over_elements(self, name: str, arguments: list[dict[str, Any]], scope: Scope) -> float:
        """A lambda: once for each element, of which there are no more than characters."""
        elements = self.visit(arguments[0], scope)
        initial = self.visit(arguments[2:], scope)
        body, names = arguments[1]["expr"], _parameters(arguments[1]["lhs"])
        if name in _REDUCING:
            kept = {names[0]: growth.LEAST}
            for _ in range(_ROUNDS):
                inner = {**dict.fromkeys(names, 0.0), **kept}
                size = self.visit(body, scope._replace(columns={**scope.columns, **inner}))
                kept = {names[0]: _checked(name, size)}
        nothing = {**scope.columns, **dict.fromkeys(names, 0.0)}
        all_of_it = {**nothing, **dict.fromkeys(names[name in _REDUCING :], elements)}
        each = self.visit(body, scope._replace(columns=nothing))
        together = self.visit(body, scope._replace(columns=all_of_it))
        if name in _FILTERING:
            return elements
        return max(elements, together - each + growth.CHARS * elements * each) + initial

    def _query(self, node: dict[str, Any], scope: Scope, names: list[str] | None = None) -> Columns:
        """The columns that a query gives, under these names if there are any."""
        for cte in node.get("cte_map", {"map": []})["map"]:
            value = cte["value"]
            columns = self._query(value["query"]["node"], scope, value["aliases"])
            scope = scope._replace(ctes={**scope.ctes, folded_name(cte["key"]): columns})
        if node["type"] == "SELECT_NODE":
            return _renamed(self._select(node, scope), names)
        if node["type"] == "RECURSIVE_CTE_NODE":
            found = self._query(node["left"], scope, names)
            name = folded_name(node["cte_name"])
            for _ in range(_ROUNDS):
                inner = scope._replace(ctes={**scope.ctes, name: found})
                more = self._query(node["right"], inner)
                found = _by_place(found, more)
            return found
        found = {}
        for side in [node.get("left"), node.get("right"), *node.get("children", [])]:
            if side:
                found = _by_place(found, self._query(side, scope))
        self.visit(node.get("modifiers"), scope.seeing(found))
        return _renamed(found, names)

    def _select(self, node: dict[str, Any], scope: Scope) -> Columns:
        own, rows = self._source(node["from_table"], scope)
        inner = scope.seeing(own)._replace(rows={**scope.rows, **rows})
        found: Columns = {}
        for item in node["select_list"]:
            if item.get("class") == "STAR" and not item["columns"]:
                found = _larger(found, own)
                for pair in item["replace_list"]:
                    size = self.visit(pair["value"], inner)
                    found = _larger(found, {folded_name(pair["key"]): size})
                continue
            name = _name_of(item, len(found))
            column = {name: self.visit(item, inner)}
            found = _larger(found, column)
            if isinstance(name, bytes):
                # What follows may name it.
                inner = inner.seeing(column)
        seen = ("cte_map", "from_table", "select_list")
        self.visit([part for key, part in node.items() if key not in seen], inner)
        return found

    def _source(self, node: dict[str, Any], scope: Scope) -> tuple[Columns, Columns]:
        """The columns of something to select from, and its rows."""
        kind, name = node["type"], folded_name(node["alias"])
        rows: Columns = {}
        if kind == "JOIN":
            columns, rows = self._source(node["left"], scope)
            inner = scope.seeing(columns)._replace(rows={**scope.rows, **rows})
            others, more = self._source(node["right"], inner)
            columns, rows = _larger(columns, others), {**rows, **more}
            self.visit(_rest(node, "left", "right"), scope.seeing(columns))
            return columns, rows
        if kind == "BASE_TABLE":
            table = folded_name(node["table_name"])
            name, columns = name or table, scope.ctes.get(table, {_OTHERS: 1.0})
        elif kind == "SUBQUERY":
            columns = self._query(node["subquery"]["node"], scope)
        elif kind == "PIVOT" and node["source"]:
            columns, rows = self._source(node["source"], scope)
            size = self.visit(_rest(node, "source"), scope.seeing(columns))
            columns = _larger(columns, {len(columns): size})
        else:
            columns = {0: self.visit(_rest(node), scope)}
        columns = _renamed(columns, node.get("column_name_alias"))
        whole = _VIEW if _OTHERS in columns else 0.0
        return columns, {**rows, name: whole + sum(columns.values())}


def _is_lambda(arguments: list[dict[str, Any]]) -> bool:
    return len(arguments) > 1 and arguments[1].get("class") == "LAMBDA"


def _parameters(head: dict[str, Any]) -> list[Name]:
    """The names of a lambda's parameters: one, or a row of them."""
    columns = [head] if head.get("class") == "COLUMN_REF" else head.get("children", [])
    return [folded_name(column["column_names"][-1]) for column in columns]


def _name_of(item: dict[str, Any], place: int) -> Name:
    if item["alias"]:
        return folded_name(item["alias"])
    return folded_name(item["column_names"][-1]) if item["class"] == "COLUMN_REF" else place


def _renamed(columns: Columns, names: list[str] | None) -> Columns:
    """Columns of which the first have other names."""
    if not names or _OTHERS in columns:
        return columns
    new: list[Name] = [folded_name(name) for name in names]
    kept = list(columns)[len(new) :]
    return dict(zip([*new, *kept], columns.values(), strict=False))


def _larger(some: Mapping[Name, float], others: Mapping[Name, float]) -> Columns:
    """All columns; of those with one name, the larger. A view may have any name."""
    least = 1.0 if _OTHERS in some or _OTHERS in others else 0.0
    names = {**some, **others}
    return {name: max(least, some.get(name, 0.0), others.get(name, 0.0)) for name in names}


def _by_place(some: Columns, others: Columns) -> Columns:
    """The columns of two queries as those of one, with the names of the first."""
    if len(some) == len(others) and _OTHERS not in {*some, *others}:
        pairs = zip(some.items(), others.values(), strict=True)
        return {name: max(size, other) for (name, size), other in pairs}
    largest = max(*some.values(), *others.values(), 0.0, 0.0)
    return dict.fromkeys([*some, *others], largest)


def _checked(what: str, size: float) -> float:
    if size > MAX_SIZE:
        raise TooMuch(
            f"What {what} makes here can be {size:,.0f} times as large as a column; "
            f"at most {MAX_SIZE:,.0f} times is allowed."
        )
    return size


def _rest(node: dict[str, Any], *names: str) -> list[Any]:
    return [part for name, part in node.items() if name not in names]


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """The nodes next below one."""
    for part in node.values() if isinstance(node, dict) else node:
        if isinstance(part, dict):
            yield part
        elif isinstance(part, list):
            yield from _parts(part)
