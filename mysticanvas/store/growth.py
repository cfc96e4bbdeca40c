"""Calls whose result outgrows what they are given, in ways that DuckDB's limits do not see.

A value is made in one step. Nothing interrupts that, and what is under way in it is not counted as
memory. So each call is asked how large its result can be, from how large its arguments are
(`called`), which `estimate` follows through a whole query. Where a number or a template decides
instead, the call is refused (`REFUSED`), or has to be given a short constant for it (`reason`).

A size of 1 is that of a column: `CHARS` characters.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

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
ELEMENTS = 1_000
"""Of what is as large as a column, where something is made once for each. Few columns are that
long, but those that are make a square of it."""
_GATHERED = 10.0
"""What one value holds of many rows, of which nobody knows the number."""
_SOLID = re.compile(r"(?:(?:\\[sdwSDW.()\[\]]|\[[^\]\\]+\]|[\w ,;:-])\+?)+")
"""Patterns that are known to match no empty text, which is between any two characters."""
_FIELDS = {
    "format": re.compile(r"\{(\d*)[^}]*\}"),
    "printf": re.compile(r"%(?:(\d+)\$)?"),
}
"""Where a template has an argument put in, and the number of it if that is told."""


class Form(enum.IntEnum):
    """What becomes of the text in a value once that is written out, or put into JSON. That quotes
    it, which may double it, and once, however deep in lists and structs it is."""

    QUOTED = 0
    """It is JSON, in which other JSON takes it as it is. So are numbers and short constants."""
    TEXT = 1
    """It is quoted as a part of something."""
    NESTED = 2
    """A list or a struct: it is quoted, too, where it becomes text itself."""


class Value(NamedTuple):
    """What is known of a value before there is any."""

    size: float
    form: Form = Form.TEXT

    @property
    def as_text(self) -> float:
        """Its size once it is written out."""
        return self.size * (2 if self.form is Form.NESTED else 1)

    @property
    def as_json(self) -> float:
        """Its size within JSON."""
        return self.size * (1 if self.form is Form.QUOTED else 2)


NOTHING = Value(0.0, Form.QUOTED)
Rule = Callable[[list[dict[str, Any]], list[Value]], Value]
"""What a function makes of its arguments: as the parser gives them, and as values."""


def largest(*values: Value) -> Value:
    """What one of several values can be."""
    size = max((value.size for value in values), default=0.0)
    return Value(size, max((value.form for value in values), default=Form.QUOTED))


def _total(values: Iterable[Value]) -> float:
    return sum(value.size for value in values)


def _adds(_arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    nested = any(value.form is Form.NESTED for value in values)
    return Value(_total(values), Form.NESTED if nested else Form.TEXT)


def _multiplies(times: float, form: Form = Form.TEXT) -> Rule:
    return lambda _, values: Value(times * _total(values), form)


def _gives_a_number(_arguments: list[dict[str, Any]], _values: list[Value]) -> Value:
    return NOTHING


def _takes_a_part(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """Of the first."""
    return _adds(arguments, values[:1])


def _makes_json(_arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    return Value(sum(value.as_json for value in values), Form.QUOTED)


def _gathers(of_a_row: Rule) -> Rule:
    def rule(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
        size, form = of_a_row(arguments, values)
        return Value(_GATHERED * max(1.0, size), form)

    return rule


def _gathers_with_a_number(place: int) -> Rule:
    """If there is an argument in this place, it is the number of values to give."""
    gathers = _gathers(_multiplies(1, Form.NESTED))
    return lambda arguments, values: (gathers if len(values) > place else _adds)(arguments, values)


def _writes(_arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    return Value(sum(value.as_text for value in values))


def _separates(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """The first stands between all others."""
    between = values[0].as_text if values else 0.0
    return Value(_writes(arguments, values).size + len(values) * between)


def _joins(place: int) -> Rule:
    """Between elements of the first, of which there are no more than characters, this one."""

    def rule(_arguments: list[dict[str, Any]], values: list[Value]) -> Value:
        between = sum((value.size for value in values[place:]), LEAST)
        return Value(_total(values[:1]) * (1 + CHARS * between), Form.TEXT)

    return rule


def _repeats(_arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """The first, or of it, as often as the others have elements."""
    return Value(_total(values[:1]) * max(1.0, ELEMENTS * _total(values[1:])), Form.NESTED)


def _fills_in(name: str, escape: str) -> Rule:
    """A template, each argument as often as that names it."""

    def rule(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
        if not values:
            return NOTHING
        template = str(_text(arguments[0])).replace(escape, "")
        size = values[0].size + sum(map(int, re.findall(r"\d+", template))) / CHARS
        numbered_from = 0 if name == "format" else 1
        for place, number in enumerate(_FIELDS[name].findall(template)):
            index = int(number) - numbered_from if number else place
            size += values[1:][index].as_text if index < len(values) - 1 else 0.0
        return Value(size)

    return rule


def _replaces(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """By what is no constant; it is put into one then."""
    if len(values) != 3 or _text(arguments[2]) is not None:
        return _adds(arguments, values)
    return Value(values[0].size + len(_text(arguments[0]) or "") * values[2].size)


def _replaces_matches(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    if len(values) < 3:
        return _adds(arguments, values)
    new, solid = _text(arguments[2]), _SOLID.fullmatch(_text(arguments[1]) or "")
    longer = len(new or "") if solid else len(new or "") + 1
    return Value(values[0].size * max(1.0, longer))


def _tells_a_date(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """Of its two arguments one is a date, and each sign of the other makes a few."""
    constants = [
        value
        for argument, value in zip(arguments, values, strict=True)
        if _text(argument) is not None
    ]
    return Value(10.0 * _total(constants or values))


def _indents(_arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """JSON that a query makes is as deep as its expressions. Any other can be as deep as it has
    characters, and each of them may have a line."""
    total, form = _total(values), largest(*values).form
    return Value(total * (4.0 if form is Form.QUOTED else CHARS * max(1.0, total)))


def _extracts(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """What one path leads to, or all within each other that match it; or what several lead to."""
    if len(arguments) < 2 or arguments[1].get("class") in ("CONSTANT", "PARAMETER"):
        path = "" if len(arguments) < 2 else _text(arguments[1]) or ""
        return Value(_total(values[:1]) * (10.0 if "*" in path else 1.0))
    return _repeats(arguments, values)


def _captures(arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """One group of a pattern, or several, which may be within each other."""
    if len(arguments) < 3 or arguments[2].get("class") == "CONSTANT":
        return _takes_a_part(arguments, values)
    return _repeats(arguments, [values[0], *values[2:]])


_nests = _multiplies(1, Form.NESTED)
_splits = _multiplies(3, Form.NESTED)
"""What stands between elements of one character is longer than they are."""
_RULES: dict[Rule, str] = {
    _gives_a_number: "- * / // % ^ ** & << >> @",
    _takes_a_part: """array_extract array_slice element_at left left_grapheme list_element
        list_extract list_slice right right_grapheme split_part struct_extract struct_extract_at
        substr substring substring_grapheme unnest""",
    _nests: """array_append array_prepend array_push_back array_push_front array_value array_zip
        list_append list_pack list_prepend list_value list_zip map map_concat map_from_entries
        parse_path row struct_concat struct_insert struct_pack struct_update union_value
        unpivot_list""",
    _makes_json: "array_to_json json_array json_object json_quote row_to_json to_json",
    _gathers(_nests): "array_agg histogram histogram_exact list",
    _gathers(_makes_json): "json_group_array json_group_object json_group_structure",
    _gathers(_writes): "group_concat listagg string_agg",
    _gathers_with_a_number(1): "max min",
    _gathers_with_a_number(2): """arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null
        arg_min_nulls_last argmax argmin max_by min_by""",
    _writes: "cast_to_type",
    _separates: "concat_ws",
    _joins(1): "array_to_string array_to_string_comma_default list_string_agg",
    _joins(2): " ".join(AGGREGATING),
    _repeats: "array_select list_select quantile quantile_disc remap_struct",
    _extracts: """->> json_extract json_extract_path json_extract_path_text json_extract_string
        json_keys json_value""",
    _captures: "regexp_extract",
    _fills_in("format", "{{"): "format",
    _fills_in("printf", "%%"): "printf",
    _replaces: "replace",
    _replaces_matches: "regexp_replace",
    _tells_a_date: "strftime",
    _indents: "json_pretty",
    _splits: """regexp_extract_all regexp_split_to_array regexp_split_to_table split str_split
        str_split_regex string_split string_split_regex string_to_array""",
    _multiplies(2): "base64 create_sort_key hex regexp_escape to_base64 to_hex",
    _multiplies(3): "json_structure url_encode",
    _multiplies(4): "icu_collate icu_sort_key translate",
    _multiplies(8): "bin to_binary",
}
GROWTH = {name: rule for rule, names in _RULES.items() for name in names.split()}
"""How large the result of a function is that does not just add up what it is given."""


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


def called(name: str, arguments: list[dict[str, Any]], values: list[Value]) -> Value:
    """What a function makes of arguments that are as large as that."""
    return rule_of(name)(arguments, values)


def rule_of(name: str) -> Rule:
    """How a function grows. There is one to collate for each language."""
    known = "icu_collate" if name.startswith("icu_collate_") else name
    return GROWTH.get(known, _adds)


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


def constant(node: dict[str, Any]) -> Value:
    """Numbers are never large, and nor is what is computed from them."""
    text = _text(node)
    if text is None:
        return NOTHING
    return Value(max(1, len(text)) / CHARS, Form.QUOTED if len(text) <= MAX_CHARS else Form.TEXT)


def _text(node: dict[str, Any]) -> str | None:
    if node.get("class") != "CONSTANT":
        return None
    value = node["value"].get("value", "")
    return value if isinstance(value, str) else None


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
