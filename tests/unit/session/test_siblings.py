"""Which connections stand still while an orchestrator is stopped, and that they start nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import write_runtime

from mysticanvas.client.endpoint import Endpoint
from mysticanvas.session import launch, siblings
from mysticanvas.session.connection import Connection
from mysticanvas.session.following import Paused
from mysticanvas.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = Settings.load({}, home=tmp_path / "home")
    settings.paths.create()
    write_runtime(settings.paths, url="http://127.0.0.1:2")
    return settings.home


def connected(home: Path) -> Connection:
    return Connection(Settings.load({}, home=home))


def test_those_to_one_orchestrator_are_found_by_home_and_by_address(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(home)
    mine, linked = connected(home), connected(tmp_path / "link")
    there = Connection(mine.settings, Endpoint("http://127.0.0.1:2", "t"))
    others = [
        connected(tmp_path / "other"),
        Connection(mine.settings, Endpoint("http://127.0.0.1:3", "t")),
    ]
    for each in (mine, linked, there):
        assert set(siblings.of(each)) == {mine, linked, there}
    assert siblings.of(others[0]) == others[:1]


def test_a_forked_process_leaves_those_of_its_parent_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_parent = connected(home)
    monkeypatch.setattr(os, "getpid", lambda: of_parent.pid + 1)
    mine = connected(home)
    assert siblings.of(mine) == [mine]


def test_in_a_pause_only_a_call_attaches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Attached(Exception):
        """Somebody looked for the orchestrator."""

    def attach(*_: object) -> None:
        raise Attached

    monkeypatch.setattr(launch, "attach", attach)
    mine, other = connected(home), connected(home)
    with siblings.paused(mine):
        for each in (mine, other):
            with pytest.raises(Paused):
                each.call(lambda api: None, background=True)
            with pytest.raises(Attached):
                each.call(lambda api: None)
    with pytest.raises(Paused):
        other.call(lambda api: None, background=True)


def test_what_was_not_stopped_is_asked_again(home: Path) -> None:
    mine, other = connected(home), connected(home)
    with pytest.raises(KeyboardInterrupt), siblings.paused(mine):
        raise KeyboardInterrupt
    for each in (mine, other):
        assert each._paused is False
