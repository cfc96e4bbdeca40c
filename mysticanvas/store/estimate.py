"""How large a value can be that an expression of a query makes, from the query alone.

A size is told in columns: what a column of the views usually holds, for which text of 100
characters is taken, is 1. What calls make of their arguments adds up or multiplies, however they
are nested and through whatever subqueries and CTEs, and a query is refused in which any of it can
be larger than `MAX_SIZE`. How large columns, parameters and texts of many rows really are, nobody
knows before the query runs; so this is a bound of what the query makes of them, and not of bytes.

DuckDB makes 2048 values at a time. Of 4,096 pictures with prompts of 100 characters, queries just
below the limit took 0.3 to 1.1 GiB and up to 4 s; 1,900 times a recipe of 650 characters, which
counts as a column, too, took 2.6 GiB and 6 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mysticanvas.store import growth, views
from mysticanvas.store.growth import NOTHING, Form, Value, largest

MAX_SIZE = 2_000.0
"""Of one value, and of the columns of a SELECT together."""
MAX_STEPS = 300_000
"""Nodes that are looked at. Bodies of lambdas and recursive CTEs are looked at several times."""
_ROUNDS = 20
"""Of a recursion, which are followed: enough for what doubles, and not for what only adds."""
_MAPPING = frozenset({"apply", "array_apply", "array_transform", "list_apply", "list_transform"})
_FILTERING = frozenset({"array_filter", "filter", "list_filter"})
_REDUCING = frozenset({"array_reduce", "list_reduce", "reduce"})
LAMBDAS = _MAPPING | _FILTERING | _REDUCING
_NESTED_TYPES = frozenset({"ARRAY", "LIST", "MAP", "STRUCT", "UNION"})
_NUMBER_TYPES = frozenset({"BIGINT", "BOOLEAN", "DOUBLE", "FLOAT", "INTEGER"})

Name = bytes | int
Columns = dict[Name, Value]
"""In order; under a number what has no name that is known."""
_COLUMN = Value(1.0)


class TooMuch(Exception):
    """What a part of the query makes can be too large; says which, as a sentence."""


class TooManySteps(Exception):
    """The query is too complicated to be estimated."""


class Scope(NamedTuple):
    """What names mean at some place of a query."""

    columns: Mapping[Name, Value]
    rows: Mapping[Name, Value]
    """Sources by name, which an expression can take as one value."""
    tables: Mapping[Name, Columns]
    """Views and CTEs."""

    def seeing(self, columns: Mapping[Name, Value]) -> Scope:
        """With more columns."""
        return self._replace(columns=_larger(self.columns, columns))

    def value(self, names: list[str]) -> Value:
        """Of a reference, which may name a table and members, too."""
        folded = [folded_name(name) for name in names]
        known = [self.columns[name] for name in folded if name in self.columns]
        if len(folded) == 1 and folded[0] in self.rows:
            known.append(self.rows[folded[0]])
        return largest(*known) if known else largest(_COLUMN, *self.columns.values())


def folded_name(name: str) -> bytes:
    """As DuckDB compares names. It folds ASCII alone: to Python, a Kelvin sign would be a k."""
    return name.encode().lower()


_VIEWS: dict[Name, Columns] = {
    folded_name(view.name): {folded_name(name): _COLUMN for name in view.names}
    for view in views.VIEWS
}


def check(statements: Any) -> None:
    """Refuse a query that can make too much of little.

    Args:
        statements: as the parser gives them.

    Raises:
        TooMuch: it can.
        TooManySteps: it is too complicated to tell.
    """
    _Estimate().visit(statements, Scope({}, {}, _VIEWS))


class _Estimate:
    """Goes through a tree; one frame of Python's a level or two, since trees are deep."""

    def __init__(self) -> None:
        self._steps = 0

    def visit(self, part: Any, scope: Scope) -> Value:
        """What an expression or a query makes, or all of several together."""
        if isinstance(part, list):
            total = 0.0
            for each in part:
                total += self.visit(each, scope).size
            return Value(total)
        if not isinstance(part, dict):
            return NOTHING
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooManySteps
        kind = part.get("class")
        if kind == "CONSTANT":
            return growth.constant(part)
        if kind == "COLUMN_REF":
            return scope.value(part["column_names"])
        if kind == "PARAMETER":
            return _COLUMN
        if kind == "POSITIONAL_REFERENCE":
            return largest(_COLUMN, *scope.columns.values())
        if kind == "STAR":
            size = max(1.0, sum(row.size for row in scope.rows.values()))
            return Value(size + self.visit(_rest(part), scope).size)
        if kind in ("FUNCTION", "WINDOW"):
            return _checked(part["function_name"], self._call(part, scope))
        if kind in ("COMPARISON", "CONJUNCTION", "BETWEEN"):
            self.visit(_rest(part), scope)
            return NOTHING
        if kind == "CAST":
            return _checked("a cast", _cast(self.visit(part["child"], scope), part["cast_type"]))
        if str(part.get("type", "")).endswith("_NODE"):
            return largest(*self._query(part, scope).values())
        # Of a CASE or COALESCE one part is the result, of a subscript a part of one.
        found = NOTHING
        for each in _parts(part):
            found = largest(found, self.visit(each, scope))
        return NOTHING if str(part.get("type")).startswith("COMPARE_") else found

    def _call(self, node: dict[str, Any], scope: Scope) -> Value:
        name = node["function_name"].lower()
        arguments = node["children"]
        self.visit([part for key, part in node.items() if key != "children"], scope)
        if name in LAMBDAS and _is_lambda(arguments):
            return self._over_elements(name, arguments, scope)
        text, pairs = growth.replacements(node)
        if pairs:
            size = max(growth.LEAST, self.visit(text, scope).size)
            return Value(size * growth.replaced(pairs))
        values: list[Value] = []
        for argument in arguments:
            size, form = self.visit(argument, scope)
            values.append(Value(max(growth.LEAST, size), form))
        return growth.called(name, arguments, values)

    def _over_elements(self, name: str, arguments: list[dict[str, Any]], scope: Scope) -> Value:
        """A lambda, which runs once for each element."""
        elements = self.visit(arguments[0], scope)
        initial = self.visit(arguments[2:], scope)
        body, names = arguments[1]["expr"], _parameters(arguments[1]["lhs"])
        if name in _REDUCING:
            kept = {names[0]: Value(growth.LEAST)}
            for _ in range(_ROUNDS):
                inner = {**dict.fromkeys(names, NOTHING), **kept}
                made = self.visit(body, scope._replace(columns={**scope.columns, **inner}))
                kept = {names[0]: _checked(name, made)}
        nothing = {**scope.columns, **dict.fromkeys(names, NOTHING)}
        all_of_it = {**nothing, **dict.fromkeys(names[name in _REDUCING :], elements)}
        each = self.visit(body, scope._replace(columns=nothing)).size
        together = self.visit(body, scope._replace(columns=all_of_it)).size
        if name in _FILTERING:
            return elements
        # Where each has a column in it, longer columns make a square.
        count = elements.size * (growth.CHARS if each < 1 else growth.ELEMENTS)
        made_of_all = together - each + count * each
        return Value(max(elements.size, made_of_all) + initial.size, Form.NESTED)

    def _query(self, node: dict[str, Any], scope: Scope, names: list[str] | None = None) -> Columns:
        """The columns that a query gives, under these names if there are any."""
        for cte in node.get("cte_map", {"map": []})["map"]:
            value = cte["value"]
            columns = self._query(value["query"]["node"], scope, value["aliases"])
            scope = scope._replace(tables={**scope.tables, folded_name(cte["key"]): columns})
        if node["type"] == "SELECT_NODE":
            return _renamed(self._select(node, scope), names)
        if node["type"] == "RECURSIVE_CTE_NODE":
            found = self._query(node["left"], scope, names)
            name = folded_name(node["cte_name"])
            for _ in range(_ROUNDS):
                inner = scope._replace(tables={**scope.tables, name: found})
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
        _checked("a SELECT", _row(found))
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
            name, columns = name or table, scope.tables[table]
        elif kind == "SUBQUERY":
            columns = self._query(node["subquery"]["node"], scope)
        elif kind == "PIVOT" and node["source"]:
            columns, rows = self._source(node["source"], scope)
            size = self.visit(_rest(node, "source"), scope.seeing(columns))
            columns = _larger(columns, {len(columns): size})
        else:
            columns = {0: self.visit(_rest(node), scope)}
        columns = _renamed(columns, node.get("column_name_alias"))
        return columns, {**rows, name: _row(columns)}


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
    if not names:
        return columns
    new: list[Name] = [folded_name(name) for name in names]
    kept = list(columns)[len(new) :]
    return dict(zip([*new, *kept], columns.values(), strict=False))


def _larger(some: Mapping[Name, Value], others: Mapping[Name, Value]) -> Columns:
    """All columns; of those with one name, the larger."""
    names = {**some, **others}
    return {
        name: largest(*(each[name] for each in (some, others) if name in each)) for name in names
    }


def _by_place(some: Columns, others: Columns) -> Columns:
    """The columns of two queries as those of one, with the names of the first."""
    if len(some) == len(others):
        pairs = zip(some.items(), others.values(), strict=True)
        return {name: largest(value, other) for (name, value), other in pairs}
    return dict.fromkeys([*some, *others], largest(*some.values(), *others.values()))


def _row(columns: Columns) -> Value:
    """All columns as one value."""
    return Value(sum(column.size for column in columns.values()), Form.NESTED)


def _cast(value: Value, cast_type: dict[str, Any]) -> Value:
    """Numbers and dates become text, too."""
    size = max(value.as_text, 20 * growth.LEAST)
    if cast_type["id"] in _NESTED_TYPES:
        # As the text of their elements, if it is to a list of text.
        return Value(size, Form.NESTED)
    if cast_type["id"] == "UNBOUND" and cast_type["type_info"]["name"].upper() == "JSON":
        return Value(size, Form.QUOTED if value.form is Form.NESTED else value.form)
    if cast_type["id"] in _NUMBER_TYPES:
        return NOTHING
    return Value(size * (8 if cast_type["id"] == "BIT" else 1))


def _checked(what: str, value: Value) -> Value:
    if value.size > MAX_SIZE:
        raise TooMuch(
            f"What {what} makes here can be {value.size:,.0f} times as large as a column; "
            f"at most {MAX_SIZE:,.0f} times is allowed."
        )
    return value


def _rest(node: dict[str, Any], *names: str) -> list[Any]:
    return [part for name, part in node.items() if name not in names]


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """The nodes next below one."""
    for part in node.values() if isinstance(node, dict) else node:
        if isinstance(part, dict):
            yield part
        elif isinstance(part, list):
            yield from _parts(part)
