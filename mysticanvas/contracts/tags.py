"""Tags: what makes two spellings one tag, and what is known of tags."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.refusal import refused
from mysticanvas.contracts.unseen import UNSEEN, ZERO_WIDTH_SPACE

MAX_NAME_CHARS = 200
MAX_NAMES = 100
"""Names in one call."""
MAX_IDS = 500
"""Pictures in one call."""

ALLOWED = (
    f"text of 1 to {MAX_NAME_CHARS} characters, without control characters and not of spaces alone"
)

TagSource = Literal["user", "assistant", "vision", "import"]
"""Who says that a picture has a tag."""

_BLANKS = re.compile(r"[\s_]+")
_UNSEEN = re.compile(f"[{UNSEEN}{ZERO_WIDTH_SPACE}]")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})


def spelled(name: object) -> str:
    """The name as people see it: as it was given, trimmed, runs of spaces as one.

    Raises:
        InvalidRequest: it is no name of a tag.
    """
    if not isinstance(name, str):
        raise refused("tag", name, ALLOWED)
    spelling = " ".join(re.split(" +", name.strip()))
    if len(spelling) > MAX_NAME_CHARS or any(map(_is_control, spelling)):
        raise refused("tag", name, ALLOWED)
    if not 0 < len(_normalized(spelling)) <= MAX_NAME_CHARS:
        raise refused("tag", name, ALLOWED)
    return spelling


def normalized(name: object) -> str:
    """What spellings of one tag have in common.

    Unicode's NFKC with case folded, so that `Ｎoir` is `noir`; a run of spaces and underscores is
    one space; characters that show nothing do not count. The normalized name of a normalized name
    is itself.

    Raises:
        InvalidRequest: it is no name of a tag.
    """
    return _normalized(spelled(name))


def prefix(text: str) -> str:
    """What the normalized names of tags start with, for the start of a name; it may be empty."""
    return _normalized(text)


def distinct(names: Iterable[object]) -> list[str]:
    """The names as people see them, in order; of two spellings of one tag, the first.

    Raises:
        InvalidRequest: one is no name of a tag, or they are too many.
    """
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(normalized(name), spelled(name))
    if len(first) > MAX_NAMES:
        raise refused("names", [*first.values()], f"at most {MAX_NAMES} names of tags at a time")
    return list(first.values())


def _normalized(text: str) -> str:
    # Folding can undo the composition, and composing can bring a capital back; Unicode's own
    # definition of such a comparison goes round twice, too.
    seen = _UNSEEN.sub("", unicodedata.normalize("NFD", text))
    folded = unicodedata.normalize("NFKC", seen.casefold()).casefold()
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", folded)).strip()


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL


TagName = Annotated[str, AfterValidator(spelled)]
"""The name of a tag, as people see it."""
TagNames = Annotated[list[TagName], Field(min_length=1, max_length=MAX_NAMES)]
_Ids = Annotated[list[str], Field(max_length=MAX_IDS)]
_Confidence = Annotated[float, Field(ge=0, le=1)]


class TagRecord(Contract):
    """A tag, and how many pictures have it; deleted pictures do not count."""

    name: str
    count: int
    sources: dict[TagSource, int] = {}
    """Pictures by who says so; one of which two say so counts for both."""


class TagOnImage(Contract):
    """That a picture has a tag, and who says so."""

    name: str
    source: TagSource
    confidence: _Confidence | None = None
    """From 0 to 1; None is beyond doubt, as for a tag that the user gave."""


class TagAlias(Contract):
    """Another name of a tag; `tag` may be an alias itself."""

    alias: str
    tag: str
    source: Literal["user", "starter"] = "user"
    """`starter` for those that ship with the package."""


class TagPage(Contract):
    """Tags by name, or the most used ones."""

    items: list[TagRecord]
    next_cursor: str | None = None
    total: int


class ImageTagNames(Contract):
    """Body of `PUT /v1/images/{id}/tags`."""

    names: TagNames


class BulkTagNames(Contract):
    """Body of `POST /v1/tags/add` and `POST /v1/tags/remove`: `ids` are whole ids of pictures."""

    ids: _Ids
    names: TagNames


class AliasRequest(Contract):
    """Body of `POST /v1/tags/aliases`; without a tag, the alias is removed."""

    alias: TagName
    tag: TagName | None = None


class RenameRequest(Contract):
    """Body of `POST /v1/tags/rename`."""

    old: TagName
    new: TagName


class MergeRequest(Contract):
    """Body of `POST /v1/tags/merge`."""

    tag: TagName
    into: TagName
