"""The names of tags: where they lead, and how they change, within a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mysticanvas.contracts.refusal import refused
from mysticanvas.contracts.tags import normalized, spelled
from mysticanvas.errors import NotFound
from mysticanvas.store import queries, tag_aliases, times
from mysticanvas.store.connection import Database, Row, Transaction
from mysticanvas.store.search import stale
from mysticanvas.store.tag_aliases import Link

_SQL = queries.load("tags")
_MERGE = ("merge_confidence", "merge_twice", "merge_rest")


class End(NamedTuple):
    """Where the aliases of a name lead: a normalized name, and the tag that has it, if any."""

    name: str
    tag_id: int | None


def ends(run: Callable[..., list[Row]], names: Iterable[str]) -> dict[str, End]:
    """Where normalized names lead."""
    known = asked = set(names)
    links: dict[str, Link] = {}
    tag_ids: dict[str, int | None] = {}
    # Hardly any alias leads to an alias, so this is one statement or two.
    while asked:
        rows = run(_SQL["resolve"], names=sorted(asked))
        tag_ids |= {row["name"]: row["id"] for row in rows}
        links |= {row["name"]: Link(row["target"], row["source"]) for row in rows if row["target"]}
        asked = {link.target for link in links.values() if link.target} - tag_ids.keys()
    reached = {name: tag_aliases.path(links, name)[-1] for name in known}
    return {name: End(end, tag_ids[end]) for name, end in reached.items()}


def ensured(transaction: Transaction, names: Iterable[str]) -> dict[str, int]:
    """The ids of tags by any of their names; new ones are made."""
    wanted = {name: normalized(name) for name in names}
    reached = ends(transaction.run, set(wanted.values()))
    tag_ids = {end.name: end.tag_id for end in reached.values() if end.tag_id is not None}
    new: dict[str, str] = {}
    for name, own in wanted.items():
        end = reached[own].name
        if end not in tag_ids:
            # The spelling of whoever uses it first, unless an alias led here.
            new.setdefault(end, spelled(name) if end == own else end)
    if new:
        names_, moment = list(new.values()), times.now()
        made = transaction.run(_SQL["create"], names=names_, normalized=list(new), now=moment)
        tag_ids |= {row["normalized_name"]: row["id"] for row in made}
    return {name: tag_ids[reached[own].name] for name, own in wanted.items()}


def not_found(name: str) -> NotFound:
    return NotFound(f"There is no tag {name[:80]!r}.", hint="`canvas.tags` lists them.")


def rename(transaction: Transaction, old: str, new: str) -> None:
    """See `Tags.rename`."""
    tag, name = _existing(transaction, old), normalized(new)
    if name != tag["normalized_name"]:
        end = ends(transaction.run, [name])[name]
        if end.tag_id not in (None, tag["id"]):
            raise refused(
                "new",
                new,
                "a name that no other tag has",
                f"canvas.tags.merge({tag['name']!r}, into={new!r}) makes the two one.",
            )
        if end.name != name:
            _put_alias(transaction, new, None)
        _put_alias(transaction, tag["name"], name)
    transaction.run(_SQL["respell"], id=tag["id"], name=spelled(new), normalized=name)
    stale.touch_tagged(transaction, tag["id"])


def merge(transaction: Transaction, tag: str, into: str) -> None:
    """See `Tags.merge`."""
    first, second = _existing(transaction, tag), _existing(transaction, into)
    if first["id"] != second["id"]:
        add_alias(transaction, first["name"], second["name"])


def add_alias(transaction: Transaction, alias: str, tag: str) -> None:
    """See `Tags.alias`."""
    name, target = normalized(alias), normalized(tag)
    for shipped in tag_aliases.giving_way(_links(transaction.run(_SQL["aliases"])), name, target):
        _put_alias(transaction, shipped, None)
    [into] = ensured(transaction, [tag]).values()
    own = ends(transaction.run, [name])[name]
    if own.name == name and own.tag_id is not None:
        # Their search entries name both: the tag that they lose, and the one that they get.
        stale.touch_tagged(transaction, own.tag_id)
        for step in _MERGE:
            transaction.run(_SQL[step], tag_id=own.tag_id, into=into)
        transaction.run(_SQL["drop"], id=own.tag_id)
    _put_alias(transaction, alias, target)


def remove_alias(transaction: Transaction, alias: str) -> None:
    """See `Tags.alias`."""
    if normalized(alias) not in _links(transaction.run(_SQL["aliases"])):
        raise NotFound(
            f"There is no alias {alias[:80]!r}.", hint="`canvas.tags.aliases()` lists them."
        )
    _put_alias(transaction, alias, None)


def load_starter(database: Database, starter: dict[str, str]) -> None:
    """See `Tags.load_starter`."""
    links = _links(database.read(_SQL["aliases"]))
    tags = {row["normalized_name"] for row in database.read(_SQL["names"])}
    change = tag_aliases.update(starter, links, tags)
    if not change.drop and not change.put:
        return
    with database.write() as transaction:
        transaction.run(_SQL["drop_starter_aliases"], aliases=sorted(change.drop))
        transaction.run(
            _SQL["put_starter_aliases"],
            aliases=list(change.put),
            targets=list(change.put.values()),
            now=times.now(),
        )


def _existing(transaction: Transaction, name: str) -> Row:
    """The row of a tag by any of its names."""
    own = normalized(name)
    tag_id = ends(transaction.run, [own])[own].tag_id
    if tag_id is None:
        raise not_found(name)
    return transaction.run(_SQL["by_id"], id=tag_id)[0]


def _put_alias(transaction: Transaction, alias: str, target: str | None) -> None:
    transaction.run(
        _SQL["put_alias"],
        normalized=normalized(alias),
        alias=spelled(alias),
        target=target,
        now=times.now(),
    )


def _links(rows: list[Row]) -> dict[str, Link]:
    return {row["normalized_alias"]: Link(row["target"], row["source"]) for row in rows}
