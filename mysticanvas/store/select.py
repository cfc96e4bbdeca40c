"""Whether a statement of a user's is one SELECT over the documented views, and nothing else.

DuckDB's parser turns the statement into a tree, and the tree is let through by what it names: the
views, its own CTEs, table functions of a short list, and the built-in functions that compute. What
is not known is refused, so that a way to files, settings or the catalog is not found by leaving it
out of a list. That matters: a table function that opens the database's own file, even for reading,
would drop the lock on it.

Nothing is bound before it is checked, since binding a table function opens its files.
"""

from __future__ import annotations

import json
import re
from typing import Any

import duckdb

from mysticanvas.errors import InvalidRequest
from mysticanvas.settings import MAX_SQL_CHARS
from mysticanvas.store import estimate, growth, queries, views
from mysticanvas.store.estimate import folded_name

MAX_DEPTH = 200
"""Expressions, and sources to select from, within each other."""
SUBQUERY_DEPTH = 25
"""What a subquery in an expression counts as. DuckDB plans before it runs, and nothing interrupts
that: a sum of a thousand numbers takes it minutes, as do twelve subqueries within each other."""

ALLOWED = f"one SELECT over the views {', '.join(sorted(views.NAMES))}"
_TOO_DEEP = (
    f"The query is nested too deeply: it may have {MAX_DEPTH} levels, and a subquery in an "
    f"expression counts as {SUBQUERY_DEPTH}."
)
_TOO_COMPLICATED = (
    "The query is too complicated to tell how much it makes: lambdas and recursive CTEs are within "
    "each other too often, or too long."
)
_HINT = "`canvas.sql()` lists the views and their columns."
_NO_COLUMN = re.compile(r"column .* not found|does not have a column")
_LESS = (
    "Put fewer columns into one value, gather one column instead of whole rows, as "
    "`string_agg(id, ', ')` does, or select rows and put them together in pandas."
)
_UUIDS = "A list of ids or pictures is compared with ids as `id = ANY($1::UUID[])`."
_SQL = queries.load("select")

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
"""They compute their rows, and open nothing."""
_SOURCES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "PIVOT", "EMPTY"}
)
_DESCRIBING = frozenset({"DESCRIBE", "SUMMARY"})

REFUSED_FUNCTIONS = frozenset(
    {
        # They run or plan a statement that they are given as text.
        "json_serialize_plan",
        "json_serialize_sql",
        "json_deserialize_sql",
        # They tell of the process and of others' statements.
        "current_setting",
        "getvariable",
        "getenv",
        "parse_duckdb_log_message",
        *growth.REFUSED,
    }
)
VOLATILE_FUNCTIONS = frozenset(
    {
        "current_date",
        "error",
        "gen_random_uuid",
        "get_current_time",
        "get_current_timestamp",
        "now",
        "random",
        "today",
        "transaction_timestamp",
        "uuid",
        "uuidv4",
        "uuidv7",
    }
)
"""Those whose value is not decided by their arguments, and that change nothing. The others, such
as `nextval`, `setseed`, `sleep_ms` and `write_log`, are refused."""


def functions(cursor: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """The names of the functions that an expression may call."""
    built_in = cursor.execute(_SQL["functions"]).fetchall()
    volatile = {name for name, is_volatile in built_in if is_volatile}
    names = {name for name, _ in built_in if not name.startswith("__internal")}
    computing = names - (volatile - VOLATILE_FUNCTIONS) - REFUSED_FUNCTIONS
    # Which the catalog lists among the table functions alone.
    return frozenset(computing | {"unnest"})


def check(cursor: duckdb.DuckDBPyConnection, query: str, known: frozenset[str]) -> None:
    """Refuse all but one SELECT that only reads the views.

    Args:
        cursor: parses, and runs nothing of the query.
        known: what `functions` gave.

    Raises:
        InvalidRequest: says what is not allowed.
    """
    if len(query) > MAX_SQL_CHARS:
        raise _refusal(query, f"The query is longer than {MAX_SQL_CHARS:,} characters.")
    try:
        statements = cursor.extract_statements(query)
    except duckdb.Error as error:
        if "max_expression_depth" in str(error):
            # Its advice is to SET that, which is refused.
            raise _refusal(query, _TOO_DEEP) from None
        raise explained(str(error), query) from None
    if len(statements) != 1:
        raise _refusal(query, f"The query has {len(statements)} statements.")
    [statement] = statements
    if statement.type != duckdb.StatementType.SELECT:
        raise _refusal(query, f"The query is no SELECT, but {statement.type.name}.")
    [[text]] = cursor.execute(_SQL["tree"], {"query": query}).fetchall()
    try:
        tree = json.loads(text)
    except RecursionError:
        raise _refusal(query, _TOO_DEEP) from None
    if tree["error"]:
        # Such as `PRAGMA database_list`, which is called a SELECT all the same.
        raise _refusal(query, "The query is no SELECT.")
    for complaint in _complaints(tree["statements"], known):
        raise _refusal(query, complaint)
    try:
        estimate.check(tree["statements"])
    except estimate.TooMuch as error:
        raise _refusal(query, str(error), _LESS) from None
    except estimate.TooManySteps:
        raise _refusal(query, _TOO_COMPLICATED) from None
    except RecursionError:
        raise _refusal(query, _TOO_DEEP) from None


def explained(text: str, query: str) -> InvalidRequest:
    """DuckDB's complaint about a query: its first line, and where in the query it is."""
    first, _, rest = text.partition("\n")
    line = rest.find("LINE ")
    place = "" if line < 0 else f"\n{rest[line:]}"
    hint = _UUIDS if "UUID and VARCHAR" in first else _HINT
    if _NO_COLUMN.search(first):
        hint = "\n".join([*_columns(query), hint])
    return InvalidRequest(
        f"{first}{place}", parameter="query", value="", allowed=ALLOWED, hint=f"\n{hint}"
    )


def _columns(query: str) -> list[str]:
    """A line for each view that a query names, with its columns."""
    words = set(re.findall(r"\w+", query.lower()))
    return [
        f"{view.name} has: {', '.join(view.names)}." for view in views.VIEWS if view.name in words
    ]


def _refusal(query: str, what: str, hint: str = _HINT) -> InvalidRequest:
    return InvalidRequest(
        f"{what} Allowed is {ALLOWED}.",
        parameter="query",
        value=query if len(query) <= 80 else f"{query[:60]}…",
        allowed=ALLOWED,
        hint=hint,
    )


def _complaints(statements: Any, known: frozenset[str]) -> list[str]:
    """What in the tree is not allowed, a sentence each."""
    found: list[str] = []
    todo: list[tuple[Any, frozenset[bytes], int]] = [(statements, _VIEWS, 0)]
    while todo:
        node, tables, depth = todo.pop()
        if isinstance(node, list):
            todo += [(child, tables, depth) for child in node]
        elif isinstance(node, dict):
            depth += _depth(node)
            if depth > MAX_DEPTH:
                return [_TOO_DEEP]
            found += _complaint(node, tables, known)
            todo += [(part, names, depth) for part, names in _children(node, tables)]
    return found


def _depth(node: dict[str, Any]) -> int:
    """How much deeper the parts of this node are."""
    if node.get("class") == "SUBQUERY":
        return SUBQUERY_DEPTH
    return 1 if "class" in node or _is_source(node) else 0


def _children(node: dict[str, Any], tables: frozenset[bytes]) -> list[tuple[Any, frozenset[bytes]]]:
    """The parts of a node, each with the names of tables that are to be seen there.

    A CTE is seen by those that follow it and by the body. A recursive one sees itself: it is the
    node of its own query that has its name.
    """
    found: list[tuple[Any, frozenset[bytes]]] = []
    for cte in node.get("cte_map", {"map": []})["map"]:
        found.append((cte["value"], tables))
        tables |= {folded_name(cte["key"])}
    if node.get("type") == "RECURSIVE_CTE_NODE":
        tables |= {folded_name(node["cte_name"])}
    children = node["function"]["children"] if _is_table_function(node) else None
    rest = {name: part for name, part in node.items() if name not in ("cte_map", "function")}
    return [*found, *((part, tables) for part in rest.values()), (children, tables)]


def _complaint(node: dict[str, Any], tables: frozenset[bytes], known: frozenset[str]) -> list[str]:
    """What is wrong with this node itself."""
    kind = node.get("type")
    if _is_table_function(node):
        return _of_function(node["function"], TABLE_FUNCTIONS)
    if "function_name" in node:
        return _of_function(node, known)
    if kind == "BASE_TABLE":
        qualified = node["catalog_name"] or node["schema_name"] or node["at_clause"]
        if qualified or folded_name(node["table_name"]) not in tables:
            return [f"{_name(node)} is no view."]
    elif kind == "SHOW_REF":
        if node["query"] is None or node["show_type"] not in _DESCRIBING:
            return ["SHOW is not allowed."]
    elif _is_source(node) and kind not in _SOURCES:
        return [f"{kind} is not allowed."]
    return []


def _of_function(node: dict[str, Any], known: frozenset[str]) -> list[str]:
    # The parser itself qualifies what it makes of operators and brackets.
    ours = node["catalog"] in ("", "system") and node["schema"] in ("", "main")
    name = node["function_name"].lower()
    if not ours or name not in known:
        return [f"The function {node['function_name']} is not allowed."]
    complaint = growth.reason(name, node["children"])
    return [] if complaint is None else [complaint]


def _is_table_function(node: dict[str, Any]) -> bool:
    return node.get("type") == "TABLE_FUNCTION"


def _is_source(node: dict[str, Any]) -> bool:
    """Whether it is something to select from: no expression, but with a place and a sample."""
    return "sample" in node and "alias" in node and "class" not in node


def _name(node: dict[str, Any]) -> str:
    parts = (node["catalog_name"], node["schema_name"], node["table_name"])
    return ".".join(part for part in parts if part)


_VIEWS = frozenset(folded_name(name) for name in views.NAMES)
