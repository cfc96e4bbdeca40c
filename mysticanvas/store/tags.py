"""Tags, and which picture has which.

A name is that of a tag, or an alias that leads to one, and never both. Rows of `image_tags` have no
key: that a picture, a tag and a source come together once is kept here, by the single writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mysticanvas.contracts import tags as names_of
from mysticanvas.contracts.refusal import refused
from mysticanvas.contracts.tags import (
    TagAlias,
    TagOnImage,
    TagPage,
    TagRecord,
    TagSource,
    normalized,
)
from mysticanvas.store import parts, queries, tag_names, times
from mysticanvas.store.connection import Database, Row, Transaction
from mysticanvas.store.search import stale

MAX_PAGE = 10_000
_SQL = queries.load("tags")


class Tags:
    """The tags of a home; for use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self, names: Sequence[str]) -> list[int | None]:
        """The ids of tags by any of their names; None for one that there is not.

        Raises:
            InvalidRequest: one is no name of a tag.
        """
        wanted = [normalized(name) for name in names]
        ends = tag_names.ends(self._database.read, wanted)
        return [ends[name].tag_id for name in wanted]

    def seqs(self, image_ids: Sequence[str]) -> list[int]:
        """What `add` and `remove` call pictures by, for their whole ids.

        Raises:
            NotFound: one is not there.
        """
        wanted = [parts.full_id(image_id) or "" for image_id in image_ids]
        found = self._database.read(_SQL["seqs"], ids=[each for each in wanted if each])
        by_id = {row["id"]: row["seq"] for row in found}
        for whole, given in zip(wanted, image_ids, strict=True):
            if whole not in by_id:
                raise parts.not_found("image", given)
        return [by_id[whole] for whole in wanted]

    def add(
        self,
        image_seqs: Sequence[int],
        names: Sequence[str],
        source: TagSource,
        confidence: float | None = None,
        job_id: str | None = None,
    ) -> None:
        """Give pictures tags, which are made if they are new. Aliases give their tag.

        What a picture has from that source already stays, with the higher confidence of the two.

        Args:
            image_seqs: `seq` of the pictures.
            confidence: 0 to 1; None is beyond doubt, and all that a user can give.
            job_id: the job that found them.

        Raises:
            InvalidRequest: a name or the confidence is not allowed.
        """
        with self._database.write() as transaction:
            tagged = [(seq, names) for seq in image_seqs]
            attach(transaction, tagged, source, confidence, job_id)
            stale.touch(transaction, image_seqs)

    def remove(
        self, image_seqs: Sequence[int], names: Sequence[str], source: TagSource | None = None
    ) -> None:
        """Take tags from pictures; what a picture does not have is left out.

        Args:
            source: only what came from there; None for all that say so.

        Raises:
            InvalidRequest: a name is not allowed.
        """
        tag_ids = [tag_id for tag_id in self.ids(names) if tag_id is not None]
        if not tag_ids or not image_seqs:
            return
        with self._database.write() as transaction:
            transaction.run(_SQL["detach"], tag_ids=tag_ids, source=source, **_among(image_seqs))
            stale.touch(transaction, image_seqs)

    def of(self, image_seqs: Sequence[int]) -> dict[int, list[TagOnImage]]:
        """The tags of pictures, by name; pictures without any are left out."""
        found: dict[int, list[TagOnImage]] = {}
        if image_seqs:
            for row in self._database.read(_SQL["of"], **_among(image_seqs)):
                tag = TagOnImage(
                    name=row["name"], source=row["source"], confidence=row["confidence"]
                )
                found.setdefault(row["image_seq"], []).append(tag)
        return found

    def get(self, name: str, project: str | None = None) -> TagRecord:
        """A tag by any of its names.

        Args:
            project: count its pictures only.

        Raises:
            NotFound: there is no such tag.
            InvalidRequest: it is no name of a tag.
        """
        [tag_id] = self.ids([name])
        found = [] if tag_id is None else self._read(tag_id=tag_id, project=project)
        if not found:
            raise tag_names.not_found(name)
        return _record(found[0])

    def page(
        self,
        prefix: str = "",
        project: str | None = None,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        most_used: bool = False,
        unused: bool = False,
    ) -> TagPage:
        """Tags that pictures have, by name, with the number of these pictures.

        Args:
            prefix: how their names start.
            project: only what its pictures have.
            limit: 1 to 10,000 tags.
            cursor: `next_cursor` of the page before: the tags that come after.
            most_used: the most used ones first, as one page.
            unused: the tags that no picture has, instead.

        Raises:
            InvalidRequest: an argument is not allowed.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise refused("limit", limit, f"1 to {MAX_PAGE:,}")
        if most_used and cursor is not None:
            raise refused("cursor", cursor, "none, since the most used tags are one page")
        found = self._read(
            prefix=names_of.prefix(prefix),
            project=project,
            limit=limit + 1,
            after=cursor or "",
            most_used=most_used,
            unused=unused,
        )
        more = len(found) > limit and not most_used
        return TagPage(
            items=[_record(row) for row in found[:limit]],
            next_cursor=found[limit - 1]["normalized_name"] if more else None,
            total=found[0]["total"] if found else 0,
        )

    def aliases(self) -> list[TagAlias]:
        """All aliases, by name."""
        return [
            TagAlias(alias=row["alias"], tag=row["tag"], source=row["source"])
            for row in self._database.read(_SQL["aliases"])
            if row["target"] is not None
        ]

    def alias(self, alias: str, tag: str | None) -> None:
        """Have a name lead to a tag from now on.

        Pictures that have the alias as a tag of its own get that tag, and lose nothing else: it is
        merged. An alias that shipped with the package gives way where the two contradict.

        Args:
            tag: a tag, which is made if it is new, or an alias; None to remove the alias.

        Raises:
            InvalidRequest: a name is not allowed, or the alias would lead back to itself.
            NotFound: there is no such alias to remove.
        """
        with self._database.write() as transaction:
            if tag is None:
                tag_names.remove_alias(transaction, alias)
            else:
                tag_names.add_alias(transaction, alias, tag)

    def rename(self, old: str, new: str) -> None:
        """Give a tag another name; the old one becomes an alias, and pictures keep the tag.

        Args:
            old: any of its names.
            new: may be a new spelling of the old name, or an alias of the tag.

        Raises:
            NotFound: there is no such tag.
            InvalidRequest: the new name is that of another tag, or is not allowed.
        """
        with self._database.write() as transaction:
            tag_names.rename(transaction, old, new)

    def merge(self, tag: str, into: str) -> None:
        """Make two tags one: pictures keep sources and the higher confidence, and the name of the
        first becomes an alias. Nothing is done if they are one.

        Raises:
            NotFound: there is no such tag.
            InvalidRequest: a name is not allowed.
        """
        with self._database.write() as transaction:
            tag_names.merge(transaction, tag, into)

    def load_starter(self, starter: dict[str, str]) -> None:
        """Bring the aliases that ship with the package up to date; the user's own stay.

        Args:
            starter: normalized alias -> normalized name.
        """
        tag_names.load_starter(self._database, starter)

    def _read(self, **given: object) -> list[Row]:
        everything: dict[str, object] = {
            "prefix": "", "project": None, "tag_id": None, "limit": 1, "after": "",
            "most_used": False, "unused": None,
        }  # fmt: skip
        return self._database.read(_SQL["page"], **everything | given)


def attach(
    transaction: Transaction,
    tagged: Iterable[tuple[int, Sequence[str]]],
    source: TagSource,
    confidence: float | None = None,
    job_id: str | None = None,
) -> None:
    """`Tags.add` within a transaction, for pictures that are new to the search.

    For others, `stale.touch` has to be called, too.

    Args:
        tagged: `seq` of a picture, and the names of its tags.
    """
    _check_confidence(source, confidence)
    pairs = [(seq, name) for seq, names in tagged for name in names]
    if not pairs:
        return
    # In the order given: of two spellings of a new tag, the first is kept.
    tag_ids = tag_names.ensured(transaction, list(dict.fromkeys(name for _, name in pairs)))
    seqs = [seq for seq, _ in pairs]
    values = {
        **_among(seqs),
        "tag_ids": [tag_ids[name] for _, name in pairs],
        "source": source,
        "confidence": confidence,
    }
    if source != "user":
        transaction.run(_SQL["raise_confidence"], **values)
    transaction.run(_SQL["attach"], **values, job_id=job_id, now=times.now())


def _among(seqs: Sequence[int]) -> dict[str, object]:
    return {"seqs": list(seqs), "first": min(seqs), "last": max(seqs)}


def _check_confidence(source: TagSource, confidence: float | None) -> None:
    if confidence is None:
        return
    if source == "user":
        raise refused("confidence", confidence, "None for a tag that a user gives")
    if not 0 <= confidence <= 1:
        raise refused("confidence", confidence, "a number from 0 to 1, or None")


def _record(row: Row) -> TagRecord:
    return TagRecord(name=row["name"], count=row["images"], sources=row["sources"] or {})
