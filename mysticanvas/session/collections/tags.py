"""`canvas.tags`: the tags that pictures have, and their other names."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mysticanvas.contracts.tags import (
    MAX_NAME_CHARS,
    AliasRequest,
    MergeRequest,
    RenameRequest,
    TagAlias,
    TagPage,
    TagRecord,
    spelled,
)
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.session import arguments, table, tagging

if TYPE_CHECKING:
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.image import Image

_SHOWN = 30
_NONE = "none yet: image.add_tags(name) gives a picture one"


class Tags:
    """Tags that pictures have, by name; a notebook shows the most used ones.

    Two spellings that differ in case, width, or in spaces and underscores are one tag, and so are a
    tag and its aliases. Each has `.name`, `.count` (pictures, deleted ones left out) and
    `.sources`, the same by who says so: `user`, `assistant`, `vision` or `import`.

    A name finds its tag though no picture of the project has it, and what is found is in the
    collection; `list(unused=True)` has such tags.

    Args:
        connection: where requests go.
        project: only its pictures count; None for all.
    """

    def __init__(self, connection: Connection, project: str | None) -> None:
        self._connection = connection
        self._project = project

    def __iter__(self) -> Iterator[TagRecord]:
        return self._walk("", unused=False)

    def __len__(self) -> int:
        return self._connection.call(lambda api: api.tags(project=self._project, limit=1)).total

    def __getitem__(self, name: str) -> TagRecord:
        """The tag of that name or alias.

        Raises:
            NotFound: there is none.
        """
        wanted = spelled(name)
        page = self._connection.call(lambda api: api.tags(name=wanted, project=self._project))
        return page.items[0]

    def __contains__(self, name: object) -> bool:
        """Whether a name would be found."""
        try:
            return isinstance(name, str) and bool(self[name])
        except (NotFound, InvalidRequest):
            return False

    def list(
        self,
        prefix: str = "",
        *,
        limit: int | None = None,
        most_used: bool = False,
        unused: bool = False,
    ) -> builtins.list[TagRecord]:
        """Tags by name.

        Args:
            prefix: how their names start.
            limit: at most so many; None for all, or for 1,000 of the most used.
            most_used: the most used ones first.
            unused: tags that no picture has, instead; such are left of what was removed.

        Raises:
            InvalidRequest: an argument is not allowed.
        """
        prefix = arguments.text("prefix", prefix, MAX_NAME_CHARS)
        if limit is not None:
            arguments.page_size(limit)
        if limit is None and not most_used:
            return [*self._walk(prefix, unused)]
        page = self._connection.call(
            lambda api: api.tags(
                prefix, self._project, limit=limit or 1000, most_used=most_used, unused=unused
            )
        )
        return page.items

    def add(self, images: Iterable[Image | str], *names: str) -> None:
        """File pictures under tags, which are made if they are new.

        Args:
            images: pictures or their whole ids.

        Raises:
            InvalidRequest: a name is not allowed.
            NotFound: a picture is no longer in the store; those 500 and more before it are done.
        """
        tagging.add(self._connection, images, names)

    def remove(self, images: Iterable[Image | str], *names: str) -> None:
        """Take tags from pictures, whoever gave them.

        Args, Raises: as for `add`.
        """
        tagging.remove(self._connection, images, names)

    def alias(self, alias: str, tag: str | None) -> None:
        """Have a name stand for a tag from now on: in filters, and where pictures are tagged.

        If the name is a tag of its own, the two are merged: its pictures get the other tag.

        Args:
            tag: a tag, which is made if it is new, or an alias; None removes the alias.

        Raises:
            InvalidRequest: a name is not allowed, or the alias would lead back to itself.
            NotFound: there is no such alias to remove.
        """
        request = AliasRequest(alias=spelled(alias), tag=None if tag is None else spelled(tag))
        self._connection.call(lambda api: api.alias(request))

    def aliases(self) -> builtins.list[TagAlias]:
        """All aliases, by name: the user's, and those that ship (`.source` is `starter`)."""
        return self._connection.call(lambda api: api.aliases())

    def rename(self, old: str, new: str) -> TagRecord:
        """Give a tag another name; pictures keep it, and the old name becomes an alias.

        Raises:
            NotFound: there is no such tag.
            InvalidRequest: the new name is that of another tag, or is not allowed.
        """
        request = RenameRequest(old=spelled(old), new=spelled(new))
        return self._connection.call(lambda api: api.rename_tag(request))

    def merge(self, tag: str, into: str) -> TagRecord:
        """Make two tags one; the name of the first becomes an alias of the second.

        Pictures that had both from one source keep the higher confidence.

        Raises:
            NotFound: there is no such tag.
            InvalidRequest: a name is not allowed.
        """
        request = MergeRequest(tag=spelled(tag), into=spelled(into))
        return self._connection.call(lambda api: api.merge_tags(request))

    def _walk(self, prefix: str, unused: bool) -> Iterator[TagRecord]:
        page = self._page(prefix, unused, None)
        yield from page.items
        while page.next_cursor is not None:
            page = self._page(prefix, unused, page.next_cursor)
            yield from page.items

    def _page(self, prefix: str, unused: bool, cursor: str | None) -> TagPage:
        return self._connection.call(
            lambda api: api.tags(prefix, self._project, cursor=cursor, unused=unused)
        )

    def _repr_html_(self) -> str:
        page = self._connection.call(
            lambda api: api.tags(project=self._project, limit=_SHOWN, most_used=True)
        )
        rows = [(tag.name, f"{tag.count:,}") for tag in page.items]
        shown = table.of(("tag", "pictures"), rows, none=_NONE)
        return shown + table.rest(page.total - len(rows))

    def __repr__(self) -> str:
        return f"<Tags {len(self)}>"
