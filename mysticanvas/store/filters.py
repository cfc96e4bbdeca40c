"""Filters of pictures as SQL conditions on the table `images`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.store import parts, times

TagIds = Callable[[Sequence[str]], Sequence[int | None]]
"""Names or aliases of tags -> their ids; None for one that there is not."""


class Clause(NamedTuple):
    """A condition, and the values of its parameters, whose names start with `f_`."""

    sql: str
    parameters: dict[str, object]


EVERY = Clause("TRUE", {})


def where(filters: ImageFilters, tag_ids: TagIds, span: str = "") -> Clause:
    """The condition for rows of `images`, which the query calls `image`.

    Deleted pictures never meet it.

    Args:
        tag_ids: asked once, with all names; not at all without tags.
        span: a condition on `{seq}` that holds for every row in question, such as
            `{seq} >= $low`. The database cannot carry it over to the table of tags by itself, and
            would read all of that.

    Raises:
        InvalidRequest: `job`, `parent` or one of `ids` is not a whole id.
    """
    terms = ["image.deleted_at IS NULL"]
    values: dict[str, object] = {}
    if span:
        terms.append(span.format(seq="image.seq"))
    for name, term in _TERMS.items():
        value = _value(filters, name)
        if value is not None:
            terms.append(term)
            values[f"f_{name}"] = value
    for name, ids in _tags(filters, tag_ids).items():
        terms.append(_tagged(name, ids, span.format(seq="image_seq") or "TRUE"))
    return Clause(" AND ".join(f"({term})" for term in terms), values)


def with_tags(ids: Sequence[int], span: str) -> str:
    """The condition for rows of `image_tags` within a span that are of one of these tags.

    The numbers stand in the text: DuckDB tells by them alone what it need not look at.
    """
    return f"{span} AND tag_id IN ({', '.join(map(str, ids))})"


def _tagged(name: str, ids: Sequence[int | None], span: str) -> str:
    """The condition that a picture has all, any or none of some tags, by the filter's name."""
    known = list(dict.fromkeys(tag_id for tag_id in ids if tag_id is not None))
    if not known or (name == "tags" and None in ids):
        return str(name == "not_tags")
    chosen = f"SELECT image_seq FROM image_tags WHERE {with_tags(known, span)}"
    if name == "tags" and len(known) > 1:
        # Several sources may have given a picture the same tag.
        chosen += f" GROUP BY image_seq HAVING count(DISTINCT tag_id) = {len(known)}"
    return f"image.seq {'NOT ' * (name == 'not_tags')}IN ({chosen})"


def _value(filters: ImageFilters, name: str) -> object:
    """The parameter for a member; None if it is no condition."""
    value = getattr(filters, name)
    if value is None:
        return None
    if name in ("job", "parent"):
        return parts.whole_id(name, value)
    if name == "ids":
        return [parts.whole_id("ids", each) for each in value]
    if name in ("since", "until"):
        return times.to_db(value)
    return value


def _tags(filters: ImageFilters, tag_ids: TagIds) -> dict[str, Sequence[int | None]]:
    """The ids of the tags of every condition that there is."""
    wanted = {name: getattr(filters, name) for name in _TAGGED if getattr(filters, name)}
    ids = tag_ids([tag for names in wanted.values() for tag in names]) if wanted else []
    found = {}
    for name, names in wanted.items():
        found[name], ids = ids[: len(names)], ids[len(names) :]
    return found


_EQUAL = (
    "project",
    "preset",
    "style",
    "starred",
    "seed",
    "width",
    "height",
    "source",
    "request_hash",
    "recipe_hash",
)
_TERMS = {
    "ids": "image.id = ANY($f_ids::UUID[])",
    "job": "image.job_id = $f_job::UUID",
    "parent": "image.parent = $f_parent::UUID",
    **{name: f"image.{name} = $f_{name}" for name in _EQUAL},
    "min_rating": "image.rating >= $f_min_rating",
    "since": "image.created_at >= $f_since",
    "until": "image.created_at < $f_until",
}
_TAGGED = ("tags", "any_tags", "not_tags")
