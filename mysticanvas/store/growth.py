"""Calls whose result outgrows what they are given, in ways that DuckDB's limits do not see.

A value is made in one step. Nothing interrupts that, and what is under way in it is not counted as
memory. So each call is asked how large its result can be, from how large its arguments are
(`called`), which `estimate` follows through a whole query. Where a number or a template decides
instead, the call is refused (`REFUSED`), or has to be given a short constant for it (`reason`).

A size of 1 is that of a column: `CHARS` characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
"""They call the aggregate that their second argument names; some put the third between elements."""

CHARS = 100
LEAST = 1 / CHARS
"""Of what stands within a text or a list: a character."""
_GATHERED = 10.0
"""What one value holds of many rows, of which nobody knows the number."""
_GATHERING = frozenset(
    {
        "array_agg",
        "group_concat",
        "histogram",
        "histogram_exact",
        "json_group_array",
        "json_group_object",
        "json_group_structure",
        "list",
        "listagg",
        "string_agg",
    }
)
_JOINING = frozenset({"array_to_string", "array_to_string_comma_default", "list_string_agg"})
"""They put their second argument between the elements of their first."""
_CHOOSING = frozenset({"array_select", "list_select"})
"""They repeat elements of the first as the second says."""
_QUOTING = frozenset(
    {
        "array_append",
        "array_prepend",
        "array_push_back",
        "array_push_front",
        "array_to_json",
        "array_value",
        "array_zip",
        "json_array",
        "json_merge_patch",
        "json_object",
        "json_quote",
        "list_append",
        "list_pack",
        "list_prepend",
        "list_value",
        "list_zip",
        "map",
        "map_from_entries",
        "parse_path",
        "row",
        "row_to_json",
        "struct_concat",
        "struct_insert",
        "struct_pack",
        "struct_update",
        "to_json",
    }
)
"""Text in what they make is quoted once that is written out, which may double it."""
_TIMES = {
    "base64": 2.0,
    "bin": 8.0,
    "create_sort_key": 2.0,
    "hex": 2.0,
    "icu_sort_key": 4.0,
    "json_pretty": 10.0,
    "regexp_escape": 2.0,
    "regexp_extract_all": 6.0,
    "regexp_split_to_array": 6.0,
    "split": 6.0,
    "str_split": 6.0,
    "str_split_regex": 6.0,
    "string_split": 6.0,
    "string_split_regex": 6.0,
    "string_to_array": 6.0,
    "to_base64": 2.0,
    "to_binary": 8.0,
    "to_hex": 2.0,
    "url_encode": 3.0,
}
"""How much longer than their arguments the results of functions can be; a list as text."""
_SOLID = re.compile(r"(?:(?:\\[sdwSDW.()\[\]]|\[[^\]\\]+\]|[\w ,;:-])\+?)+")
"""Patterns that are known to match no empty text, which is between any two characters."""


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


def called(name: str, arguments: list[dict[str, Any]], sizes: list[float]) -> float:
    """The size of what a function makes of arguments of these sizes."""
    total = sum(sizes)
    if name in _GATHERING:
        return _GATHERED * max(1.0, total)
    if name == "concat_ws":
        return total + len(sizes) * sizes[0] if sizes else 0.0
    if name in TEMPLATES and sizes:
        template = str(_text(arguments[0]))
        widths = sum(map(int, re.findall(r"\d+", template)))
        places = template.count("{" if name == "format" else "%")
        return sizes[0] + widths / CHARS + places * max(sizes[1:], default=0.0)
    if name == "replace" and len(sizes) == 3 and _text(arguments[2]) is None:
        # Which is let through for a constant that it is put into.
        return sizes[0] + len(_text(arguments[0]) or "") * sizes[2]
    if name == "regexp_replace" and len(sizes) > 2:
        new, solid = _text(arguments[2]), _SOLID.fullmatch(_text(arguments[1]) or "")
        longer = len(new or "") if solid else len(new or "") + 1
        return sizes[0] * max(1.0, longer)
    if name in _JOINING | AGGREGATING:
        between = sum(sizes[1 if name in _JOINING else 2 :], LEAST)
        return sizes[0] * (1 + CHARS * between) if sizes else 0.0
    if name in _CHOOSING and len(sizes) > 1:
        return sizes[0] * max(1.0, CHARS * sizes[1])
    if name in _QUOTING:
        return sum(
            size if _is_plain(argument) else 2 * size
            for argument, size in zip(arguments, sizes, strict=True)
        )
    return total * (4.0 if name.startswith("icu_collate") else _TIMES.get(name, 1.0))


def replacements(node: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What a call replaces by constants, and those that it goes through before; in which text."""
    pairs: list[tuple[str, str]] = []
    while str(node.get("function_name")).lower() == "replace" and len(node["children"]) == 3:
        old, new = map(_text, node["children"][1:])
        if old is None or new is None:
            break
        pairs.insert(0, (old, new))
        node = node["children"][0]
    return node, pairs


def constant(node: dict[str, Any]) -> float:
    """Numbers are never large, and nor is what is computed from them."""
    text = _text(node)
    return 0.0 if text is None else max(1, len(text)) / CHARS


def _text(node: dict[str, Any]) -> str | None:
    if node.get("class") != "CONSTANT":
        return None
    value = node["value"].get("value", "")
    return value if isinstance(value, str) else None


def _is_plain(node: dict[str, Any]) -> bool:
    """Whether nothing of it is quoted: what holds values quotes those and not itself."""
    name = node.get("function_name")
    return node.get("class") == "CONSTANT" or (name is not None and name.lower() in _QUOTING)


def replaced(pairs: Iterable[tuple[str, str]]) -> float:
    """How many times as long a text can be once each first text was replaced by the second, in
    this order.

    As long as none of them can be found in what was put in before, a character of the text is
    replaced once at most, so that the largest counts and not the product.
    """
    before = times = 1.0
    put: set[str] = set()
    for old, new in pairs:
        factor = max(1.0, len(new) / max(1, len(old)))
        if put & set(old):
            before, times = before * times, factor
            put = set(new)
        else:
            times = max(times, factor)
            put |= set(new)
    return before * times
