"""Files of pictures: which there are, which are missing, and which are to be removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from mysticanvas.contracts import thumbnails
from mysticanvas.contracts.images import FileRecord
from mysticanvas.store import parts, queries, times
from mysticanvas.store.connection import Database
from mysticanvas.store.filters import Clause

WINDOW = 20_000
"""Pictures that one query looks at: what a run over a million holds in memory at a time."""
_SQL = queries.load("files")
_KINDS = list(thumbnails.SIZES.values())


class Original(NamedTuple):
    """A picture that is there, and its file relative to the home."""

    seq: int
    id: str
    path: str


class NamedFile(NamedTuple):
    """A file that a row names."""

    seq: int
    id: str
    kind: str
    path: str


class Usage(NamedTuple):
    """How much there is of something."""

    images: int
    bytes: int


class Files:
    """The files of all pictures. Nothing here touches the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.complete_to = 0
        """The seq up to which no picture lacked a thumbnail when all were last looked through."""

    def original(self, image_id: str) -> Original:
        """The picture with that id.

        Raises:
            NotFound: there is none.
        """
        full = parts.full_id(image_id)
        found = self._database.read(_SQL["original"], id=full) if full else []
        if full is None or not found:
            raise parts.not_found("image", image_id)
        return Original(found[0]["seq"], full, found[0]["path"])

    def path_of(self, image_id: str) -> str | None:
        """The original of a picture, deleted or not; None if it was swept."""
        found = self._database.read(_SQL["path_of"], id=image_id)
        return found[0]["path"] if found else None

    def last_seq(self) -> int:
        """The seq of the newest picture; 0 if there is none."""
        return int(self._database.read(_SQL["last_seq"])[0]["seq"])

    def without_thumbnails(
        self, after: int = 0, check: Callable[[], None] = lambda: None
    ) -> Iterator[Original]:
        """Pictures that lack a thumbnail and could have one, oldest first.

        Those that are recorded meanwhile are left to the next run.

        Args:
            after: the seq behind which they are looked for.
            check: called before each look; what it raises ends it.
        """
        for start in range(after, self.last_seq(), WINDOW):
            check()
            found = self._database.read(
                _SQL["without_thumbnails"], after=start, last=start + WINDOW, kinds=_KINDS
            )
            yield from (Original(row["seq"], row["id"], row["path"]) for row in found)

    def add(self, made: Sequence[tuple[Original, Sequence[FileRecord]]]) -> list[str]:
        """Record thumbnails; one that is known stays as it is.

        Returns:
            Paths of files that nothing names: their pictures' files were swept meanwhile.
        """
        with self._database.write() as transaction:
            seqs = [original.seq for original, _ in made]
            rows = transaction.run(_SQL["kinds_of"], seqs=seqs)
            known = {(row["seq"], row["kind"]) for row in rows}
            present = {seq for seq, kind in known if kind == "original"}
            new = [
                (original, file)
                for original, files in made
                for file in files
                if original.seq in present and (original.seq, file.kind) not in known
            ]
            if new:
                transaction.run(
                    _SQL["insert"],
                    image_id=[original.id for original, _ in new],
                    image_seq=[original.seq for original, _ in new],
                    **{
                        name: [getattr(file, name) for _, file in new]
                        for name in FileRecord.model_fields
                    },
                    now=times.now(),
                )
        return [
            file.path for original, files in made if original.seq not in present for file in files
        ]

    def add_failures(self, failed: Sequence[tuple[Original, str]]) -> None:
        """Record why pictures can have no thumbnail."""
        if failed:
            with self._database.write() as transaction:
                transaction.run(
                    _SQL["insert_failures"],
                    seqs=[original.seq for original, _ in failed],
                    reasons=[reason for _, reason in failed],
                    now=times.now(),
                )

    def failure(self, seq: int) -> str | None:
        """Why that picture can have no thumbnail; None if that is not known to be so."""
        found = self._database.read(_SQL["failure"], seq=seq)
        return found[0]["reason"] if found else None

    def failures(self) -> dict[str, str]:
        """Id -> reason, of all pictures that can have no thumbnail."""
        return {row["id"]: row["reason"] for row in self._database.read(_SQL["failures"])}

    def forget_failures(self) -> None:
        """Have those pictures tried again."""
        self.complete_to = 0
        with self._database.write() as transaction:
            transaction.run(_SQL["forget_failures"])

    def usage(self) -> int:
        """Bytes of all files, of deleted pictures that were not swept yet too."""
        return int(self._database.read(_SQL["usage"])[0]["bytes"])

    def deleted(self, before: datetime, limit: int = 2**31) -> list[Original]:
        """Pictures deleted at `before` or earlier whose files are still there, oldest first."""
        found = self._database.read(_SQL["deleted"], before=times.to_db(before), limit=limit)
        return [Original(row["seq"], row["id"], row["path"]) for row in found]

    def deleted_and_there(self) -> set[str]:
        """Ids of deleted pictures whose original was not removed yet."""
        return {row["id"] for row in self._database.read(_SQL["deleted_and_there"])}

    def usage_of_deleted(self) -> Usage:
        """What deleted pictures still take."""
        return Usage(**self._database.read(_SQL["bytes_of_deleted"])[0])

    def doom(self, seqs: Sequence[int]) -> list[str]:
        """Forget the files of deleted pictures, and remember that they are to be removed.

        Returns:
            Their paths.
        """
        with self._database.write() as transaction:
            # One of them may have come back since they were looked up.
            rows = transaction.run(_SQL["still_deleted"], seqs=list(seqs))
            gone = [row["seq"] for row in rows]
            doomed = transaction.run(_SQL["doom"], seqs=gone)
            transaction.run(_SQL["delete_of"], seqs=gone)
        return [row["path"] for row in doomed]

    def doomed(self, limit: int, after: str = "") -> list[str]:
        """Paths that are to be removed, unless a row names them again; in order, those behind
        `after`."""
        found = self._database.read(_SQL["doomed"], limit=limit, after=after)
        return [row["path"] for row in found]

    def forget_doomed(self, paths: Sequence[str]) -> None:
        """Note that those files are gone, or are not to go."""
        with self._database.write() as transaction:
            transaction.run(_SQL["forget_doomed"], paths=list(paths))

    def named(self, paths: Sequence[str]) -> set[str]:
        """Which of these paths a row names."""
        found = self._database.read(_SQL["named"], paths=list(paths))
        return {row["path"] for row in found}

    def paths(self) -> Iterator[str]:
        """Those of all files that a row names, of deleted pictures too."""
        for after in range(0, self.last_seq(), WINDOW):
            for row in self._database.read(_SQL["paths"], after=after, last=after + WINDOW):
                yield row["path"]

    def walk(self) -> Iterator[NamedFile]:
        """Every file of every picture that is not deleted, in the order of the pictures."""
        for after in range(0, self.last_seq(), WINDOW):
            for row in self._database.read(_SQL["range"], after=after, last=after + WINDOW):
                yield NamedFile(row["seq"], row["id"], row["kind"], row["path"])

    def forget(self, paths: Sequence[str]) -> list[str]:
        """Forget files that are gone, originals excepted; those that were known."""
        self.complete_to = 0
        with self._database.write() as transaction:
            found = transaction.run(_SQL["delete_paths"], paths=list(paths))
        return [row["path"] for row in found]

    def matching(self, clause: Clause) -> tuple[list[str], int]:
        """The pictures that meet a condition: their ids, and the bytes of their files."""
        ids = self._database.read(_SQL["matching"].format(where=clause.sql), **clause.parameters)
        size = self._database.read(
            _SQL["bytes_of_matching"].format(where=clause.sql), **clause.parameters
        )
        return [row["id"] for row in ids], int(size[0]["bytes"])

    def bytes_of(self, image_ids: Sequence[str]) -> int:
        """Bytes of the files of these pictures."""
        return int(self._database.read(_SQL["bytes_of"], ids=list(image_ids))[0]["bytes"])

    def unfinished(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these jobs may still record pictures."""
        found = self._database.read(_SQL["unfinished_jobs"], ids=list(job_ids))
        return {row["id"] for row in found}
