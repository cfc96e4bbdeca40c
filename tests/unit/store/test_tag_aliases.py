"""Decisions on aliases, without a database."""

import pytest

from mysticanvas.errors import InvalidRequest
from mysticanvas.store.tag_aliases import Link, giving_way, path, update


def users(**links: str) -> dict[str, Link]:
    return {alias: Link(target, "user") for alias, target in links.items()}


def shipped(**links: str) -> dict[str, Link]:
    return {alias: Link(target, "starter") for alias, target in links.items()}


def test_a_chain_is_followed_to_its_end() -> None:
    links = users(a="b", b="c")
    assert path(links, "a") == ["a", "b", "c"]
    assert path(links, "x") == ["x"]
    assert path(links | {"b": Link(None, "user")}, "a") == ["a", "b"]


def test_an_alias_may_not_lead_back_to_itself() -> None:
    with pytest.raises(InvalidRequest, match="'c' -> 'a' -> 'b' -> 'c'"):
        giving_way(users(a="b", b="c"), "c", "a")
    with pytest.raises(InvalidRequest, match="'a' -> 'a'"):
        giving_way({}, "a", "a")


def test_a_shipped_alias_gives_way_to_the_users() -> None:
    assert giving_way(shipped(grey="gray"), "gray", "grey") == ["grey"]
    assert giving_way(users(a="b") | shipped(b="c"), "c", "a") == ["b"]
    assert giving_way(shipped(grey="gray"), "slate", "grey") == []


def test_shipped_aliases_come_change_and_go() -> None:
    assert update({"grey": "gray"}, {}, []) == (set(), {"grey": "gray"})
    known = shipped(grey="gray", old="ancient")
    assert update({"grey": "gray"}, known, []) == ({"old"}, {})
    assert update({"grey": "silver"}, known, []) == ({"grey", "old"}, {"grey": "silver"})


def test_what_the_user_decided_stays() -> None:
    starter = {"grey": "gray"}
    assert update(starter, users(grey="slate"), []) == (set(), {})
    assert update(starter, {"grey": Link(None, "user")}, []) == (set(), {})
    assert update(starter, {}, ["grey"]) == (set(), {})
    assert update(starter, users(gray="mid", mid="grey"), []) == (set(), {})


def test_a_second_time_nothing_changes() -> None:
    starter = {"grey": "gray", "b&w": "black and white"}
    first = update(starter, {}, [])
    assert update(starter, shipped(**first.put), []) == (set(), {})
