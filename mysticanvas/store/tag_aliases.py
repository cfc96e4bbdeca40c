"""Which alias leads where, and which may be added: pure decisions on normalized names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from mysticanvas.contracts.refusal import refused


class Link(NamedTuple):
    """What is recorded of an alias. Without a target, the user wants it to be none."""

    target: str | None
    source: str


class Update(NamedTuple):
    """What has to change for the aliases that ship with the package."""

    drop: set[str]
    put: dict[str, str]


def path(links: Mapping[str, Link], name: str) -> list[str]:
    """A name, and the names that its aliases lead to, one after the other."""
    passed = [name]
    while (link := links.get(passed[-1])) and link.target and link.target not in passed:
        passed.append(link.target)
    return passed


def giving_way(links: Mapping[str, Link], alias: str, target: str) -> list[str]:
    """The shipped aliases that have to go before `alias` can lead to `target`.

    Raises:
        InvalidRequest: the user's own aliases lead from the target back to the alias.
    """
    passed = path(links, target)
    if alias not in passed:
        return []
    back = passed[: passed.index(alias)]
    for name in reversed(back):
        if links[name].source == "starter":
            return [name]
    chain = " -> ".join(repr(name) for name in (alias, *back, alias))
    raise refused(
        "alias", alias, "a name that its tag does not lead back to", f"It would: {chain}."
    )


def update(starter: Mapping[str, str], links: Mapping[str, Link], tags: Collection[str]) -> Update:
    """How to bring the shipped aliases up to date.

    What the user has decided stays: a tag, an alias, or that a name is to be none. What would close
    a circle with the user's aliases is left out.

    Args:
        starter: the aliases that ship now, and where they lead.
        links: all that is recorded.
        tags: the names of all tags.
    """
    wanted = {name: link for name, link in links.items() if link.source != "starter"}
    put = {}
    for alias, target in starter.items():
        if alias in wanted or alias in tags or alias in path(wanted, target):
            continue
        wanted[alias] = Link(target, "starter")
        if links.get(alias) != wanted[alias]:
            put[alias] = target
    shipped = {name for name, link in links.items() if link.source == "starter"}
    return Update({name for name in shipped if links[name] != wanted.get(name)}, put)
