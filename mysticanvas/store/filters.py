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


def where(filters: ImageFilters, tag_ids: TagIds) -> Clause:
    """The condition for rows of `images`, which the query calls `image`.

    Deleted pictures never meet it.
    """
    terms = ["image.deleted_at IS NULL"]
    values: dict[str, object] = {}

    def add(name: str, term: str, value: object) -> None:
        if value is not None:
            values[f"f_{name}"] = value
            terms.append(term)

    for name in _EQUAL:
        add(name, f"image.{name} = $f_{name}", getattr(filters, name))
    for name, column in _IDS.items():
        wanted = getattr(filters, name)
        add(name, f"image.{column} = $f_{name}::UUID", wanted and parts.whole_id(name, wanted))
    if filters.ids is not None:
        whole = [parts.whole_id("ids", part) for part in filters.ids]
        add("ids", "image.id = ANY($f_ids::UUID[])", whole)
    add("min_rating", "image.rating >= $f_min_rating", filters.min_rating)
    add("since", "image.created_at >= $f_since", filters.since and times.to_db(filters.since))
    add("until", "image.created_at < $f_until", filters.until and times.to_db(filters.until))
    for number, tag_id in enumerate(tag_ids(filters.tags)):
        name = f"tag_{number}"
        add(name, _TAGGED.format(f"tag_id = $f_{name}"), -1 if tag_id is None else tag_id)
    for name, sign in (("any_tags", ""), ("not_tags", "NOT ")):
        if getattr(filters, name):
            found = [tag_id for tag_id in tag_ids(getattr(filters, name)) if tag_id is not None]
            add(name, sign + _TAGGED.format(f"tag_id = ANY($f_{name}::INTEGER[])"), found)
    return Clause(" AND ".join(terms), values)


_EQUAL = (
    "preset",
    "style",
    "starred",
    "seed",
    "width",
    "height",
    "project",
    "source",
    "request_hash",
    "recipe_hash",
)
_IDS = {"job": "job_id", "parent": "parent"}
_TAGGED = "(image.seq IN (SELECT image_seq FROM image_tags WHERE {}))"
