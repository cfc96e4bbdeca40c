"""Pictures and their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mysticanvas.contracts.filters import ImageFilters, Sort
from mysticanvas.contracts.images import (
    ImageCard,
    ImageChanges,
    ImagePage,
    ImageRecord,
)
from mysticanvas.contracts.params import refused
from mysticanvas.store import filters as conditions, image_rows, pages, parts, queries, tags, times
from mysticanvas.store.connection import Database, Row, Transaction
from mysticanvas.store.cursors import Cursors
from mysticanvas.store.filters import EVERY, Clause, TagIds
from mysticanvas.store.image_rows import NewImage
from mysticanvas.store.search import stale

MAX_PAGE = 1000
_SQL = queries.load("images")
CURSORS = Cursors("images", "q")


class Last(NamedTuple):
    """The last place in the order of recording, at one moment."""

    commits: int
    """What the database had counted then."""
    seq: int


class Images:
    """Pictures, newest first. Deleted ones are not there.

    Args:
        tag_ids: finds the tags that filters name.
    """

    def __init__(self, database: Database, tag_ids: TagIds) -> None:
        self._database = database
        self._tag_ids = tag_ids
        self._given = Last(commits=-1, seq=0)
        """What was last given out, for the writer."""
        self._read = Last(commits=-1, seq=0)
        """What was last read, for readers."""

    def add(self, images: Sequence[NewImage]) -> None:
        """Record pictures that no job is waiting for, in the given order.

        Raises:
            StoreError: one of them cannot be recorded, such as a known one; none was.
        """
        with self._database.write() as transaction:
            self._insert(transaction, images)

    def insert(self, transaction: Transaction, images: Sequence[NewImage]) -> list[ImageRecord]:
        """Record pictures and their files, in the given order; as they will be read."""
        return [
            image_rows.record(
                image_rows.UNTOUCHED | row | {f"file_{name}": value for name, value in file.items()}
            )
            for row, file in self._insert(transaction, images)
        ]

    def get(self, image_id: str) -> ImageRecord:
        """The picture with that id.

        Raises:
            NotFound: there is none.
        """
        full = parts.full_id(image_id)
        found = self.details([full]) if full else []
        if not found:
            raise parts.not_found("image", image_id)
        return found[0]

    def details(self, image_ids: Sequence[str]) -> list[ImageRecord]:
        """The pictures with these ids, newest first, as far as they are there.

        Raises:
            InvalidRequest: one of them is not a whole id.
        """
        whole = [parts.whole_id("ids", image_id) for image_id in image_ids]
        return self._records(self._seqs("id", whole))

    def find(self, part: str, project: str | None = None) -> ImageRecord:
        """The picture with that id, or with that head or tail of an id.

        Args:
            part: a whole id, or 4 characters or more.
            project: look among its pictures only, if it is a part.

        Raises:
            NotFound: there is none.
            InvalidRequest: there are several.
        """
        if parts.full_id(part):
            return self.get(part)
        wanted = parts.searchable("image", part)
        first, last = parts.span(wanted)
        found = []
        if first is not None:
            found = self._database.read(_SQL["by_head"], first=first, last=last, project=project)
        if len(found) < 2:
            found += self._database.read(_SQL["by_tail"], part=wanted, project=project)
        return self.get(parts.only("image", part, sorted({row["id"] for row in found})))

    def page(
        self,
        limit: int = 50,
        cursor: str | None = None,
        filters: ImageFilters = ImageFilters(),  # noqa: B008 - it is frozen
        sort: Sort = "newest",
    ) -> ImagePage:
        """A page of pictures. Those recorded meanwhile do not shift the pages that follow.

        Args:
            limit: 1 to 1000 pictures.
            cursor: `next_cursor` of the page before, of the same filters and order.
            sort: `newest` or `oldest` first.

        Raises:
            InvalidRequest: an argument is not allowed.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise refused("limit", limit, f"1 to {MAX_PAGE}")
        query = {"sort": sort, **filters.model_dump(mode="json", exclude_defaults=True)}
        behind = None if cursor is None else CURSORS.decode(cursor, query)[0]
        found = pages.find(
            self._database, filters, self._tag_ids, sort, behind, self._newest_seq, limit
        )
        return ImagePage(
            items=found.cards,
            next_cursor=None if found.behind is None else CURSORS.encode((found.behind,), query),
        )

    def count(self, filters: ImageFilters = ImageFilters()) -> int:  # noqa: B008 - it is frozen
        """How many pictures meet the filters.

        Raises:
            InvalidRequest: a filter is not allowed.
        """
        clause = conditions.where(filters, self._tag_ids)
        sql = _SQL["count"].format(condition=clause.sql)
        return int(self._database.read(sql, **clause.parameters)[0]["total"])

    def change(self, image_id: str, changes: ImageChanges) -> ImageRecord:
        """Star or rate a picture.

        Raises:
            NotFound: there is none.
        """
        full = parts.full_id(image_id)
        if full is None:
            raise parts.not_found("image", image_id)
        with self._database.write() as transaction:
            transaction.run(_SQL["change"], id=full, **changes.model_dump())
        return self.get(full)

    def of_job(self, job_id: str) -> list[ImageRecord]:
        """The pictures that a job made, in batch order."""
        return self.of_jobs([job_id]).get(job_id, [])

    def of_jobs(self, job_ids: Sequence[str]) -> dict[str, list[ImageRecord]]:
        """The pictures of several jobs, each in batch order; jobs without any are left out."""
        found: dict[str, list[ImageRecord]] = {}
        whole = [full for job_id in job_ids if (full := parts.full_id(job_id))]
        for image in self._records(self._seqs("job_id", whole)):
            found.setdefault(image.job_id, []).append(image)
        for batch in found.values():
            batch.sort(key=lambda image: image.batch_index)
        return found

    def cards(self, seqs: Sequence[int]) -> list[ImageCard]:
        """The pictures at these places in the order of recording, in the given order, as far as
        they are there."""
        return pages.cards(self._database, seqs)

    def by_request(
        self,
        request_hash: str,
        project: str | None = None,
        dtype: str | None = None,
        allowed: Sequence[str] | None = None,
    ) -> list[ImageRecord]:
        """The newest complete batch that a request made, in batch order; empty if there is none.

        Args:
            dtype: number format that it was made in; None for any.
            allowed: the mitigations that it may have been made with; None for any.
        """
        rows = self._database.read(
            _SQL["by_request"],
            request_hash=request_hash,
            project=project,
            dtype=dtype,
            allowed=None if allowed is None else list(allowed),
        )
        batch = self._records(_newest_complete(rows))
        return sorted(batch, key=lambda image: image.batch_index)

    def missing(self, parameter: str, image_ids: Sequence[str]) -> list[str]:
        """Which of these ids no picture has, in the given order; those of deleted ones too.

        Args:
            parameter: whose value they are, for the error.

        Raises:
            InvalidRequest: one of them is not a whole id.
        """
        whole = [parts.whole_id(parameter, image_id) for image_id in image_ids]
        there = {row["id"] for row in self._database.read(_SQL["there"], ids=whole)}
        return [image_id for image_id in whole if image_id not in there]

    def known(self, image_ids: Sequence[str]) -> set[str]:
        """Which of these ids are taken, by deleted pictures too."""
        found = self._database.read(_SQL["known"], ids=list(image_ids))
        return {row["id"] for row in found}

    def delete(self, image_ids: Sequence[str], only: Clause = EVERY) -> list[str]:
        """Mark those pictures as deleted that meet a condition, which hides them everywhere; which
        were not so before.

        Their files stay until they are swept, and their rows for ever, so that no file of a
        deleted picture is taken for a new one.
        """
        sql = _SQL["delete"].format(condition=only.sql)
        return self._mark(sql, ids=list(image_ids), now=times.now(), **only.parameters)

    def restore(self, image_ids: Sequence[str]) -> list[str]:
        """Bring deleted pictures back whose files were not swept yet; which came back."""
        return self._mark(_SQL["restore"], ids=list(image_ids))

    def _mark(self, sql: str, **parameters: object) -> list[str]:
        with self._database.write() as transaction:
            changed = transaction.run(sql, **parameters)
            stale.touch(transaction, [row["seq"] for row in changed])
        return [row["id"] for row in changed]

    def _insert(
        self, transaction: Transaction, images: Sequence[NewImage]
    ) -> Iterator[tuple[Row, Row]]:
        """Record pictures; of each, the row of its own and that of its file."""
        if not images:
            return iter(())
        last = self._last_seq(transaction)
        rows = [image_rows.row(image, last + place) for place, image in enumerate(images, 1)]
        files = [
            image_rows.file_row(image, row["seq"]) for image, row in zip(images, rows, strict=True)
        ]
        if any(image.deleted_at for image in images):
            rows = [
                {**row, "deleted_at": i.deleted_at} for row, i in zip(rows, images, strict=True)
            ]
        transaction.insert("images", rows)
        transaction.insert("generation_files", files)
        tagged = [(row["seq"], image.tags) for row, image in zip(rows, images, strict=True)]
        tags.attach(transaction, tagged, "user")
        self._given = Last(self._database.commits, last + len(rows))
        return zip(rows, files, strict=True)

    def _last_seq(self, transaction: Transaction) -> int:
        """The last place in the order of recording that was given away."""
        # Only the writer comes here. If something was committed, it was what was given out last, or
        # that was rolled back, and a few places stay empty.
        if self._given.seq and self._given.commits < self._database.commits:
            return self._given.seq
        return int(transaction.run(_SQL["last_seq"])[0]["seq"])

    def _newest_seq(self) -> int:
        """The last place that a picture has."""
        commits = self._database.commits
        if self._read.commits != commits:
            self._read = Last(commits, self._database.read(_SQL["last_seq"])[0]["seq"])
        return self._read.seq

    def _seqs(self, column: str, whole_ids: Sequence[str]) -> list[int]:
        if not whole_ids:
            return []
        # Checked ids, written into the statement: a look-up in the key, not a scan.
        listed = ", ".join(f"'{each}'::UUID" for each in whole_ids)
        found = self._database.read(_SQL["seqs"].format(column=column, ids=listed))
        return [row["seq"] for row in found]

    def _records(self, seqs: Sequence[int]) -> list[ImageRecord]:
        """The pictures of these rows, newest first."""
        if not seqs:
            return []
        images, files = (pages.among(column, seqs) for column in ("image.seq", "file.image_seq"))
        found = self._database.read(_SQL["records"].format(images=images, files=files))
        return sorted(map(image_rows.record, found), key=lambda image: -image.seq)


def _newest_complete(rows: Sequence[Row]) -> list[int]:
    """The rows of the newest job that still has all its pictures."""
    jobs: dict[str, list[Row]] = {}
    for row in rows:
        jobs.setdefault(str(row["job_id"]), []).append(row)
    complete = [
        [row["seq"] for row in batch]
        for batch in jobs.values()
        if len(batch) == max(row["batch_size"] for row in batch)
    ]
    return max(complete, key=max, default=[])
