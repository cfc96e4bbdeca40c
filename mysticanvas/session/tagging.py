"""Giving pictures tags and taking them away, as many pictures at a time as a request holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from mysticanvas.contracts.tags import MAX_IDS, distinct
from mysticanvas.session import arguments

if TYPE_CHECKING:
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.image import Image

_ALLOWED = "several pictures, such as a page of them, or their whole ids"


def of(image: Image) -> tuple[str, ...]:
    """The names of a picture's tags, in order."""
    found = image._connection.call(lambda api: api.tags_of(image.id))
    return tuple(dict.fromkeys(tag.name for tag in found))


def add(connection: Connection, images: Iterable[Image | str], names: Sequence[str]) -> None:
    """File pictures, or what has these ids, under tags; see `Tags.add`."""
    wanted = distinct(names)

    def send(ids: list[str]) -> None:
        connection.call(lambda api: api.add_tags(ids, wanted))

    _in_batches(images if wanted else (), send)


def remove(connection: Connection, images: Iterable[Image | str], names: Sequence[str]) -> None:
    """Take tags from pictures; see `Tags.remove`."""
    wanted = distinct(names)

    def send(ids: list[str]) -> None:
        connection.call(lambda api: api.remove_tags(ids, wanted))

    _in_batches(images if wanted else (), send)


def _in_batches(images: Iterable[Image | str], send: Callable[[list[str]], None]) -> None:
    listed = None if isinstance(images, str) else arguments.listed(images)
    if not isinstance(listed, list):
        raise arguments.refused("images", images, _ALLOWED, "For one: image.add_tags(…).")
    ids = [arguments.whole_id("images", image, _ALLOWED) for image in listed]
    for start in range(0, len(ids), MAX_IDS):
        send(ids[start : start + MAX_IDS])
