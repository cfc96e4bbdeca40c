"""Checks of what a home needs around it."""

from __future__ import annotations

import errno
import importlib.metadata
import socket
from pathlib import Path

import pytest

from mysticanvas import settings as settings_module
from mysticanvas.home import HomePaths
from mysticanvas.locks import FileLock
from mysticanvas.orchestrator.doctor import Home, surroundings
from mysticanvas.orchestrator.doctor.home import Found
from mysticanvas.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    paths = HomePaths.of(tmp_path)
    paths.create()
    return Home(paths, Settings.load({}, home=tmp_path), None, running=False)


def test_here_everything_is_as_it_has_to_be(home: Home) -> None:
    for check in (
        surroundings.python,
        surroundings.packages,
        surroundings.loopback,
        surroundings.starter,
        surroundings.locks,
    ):
        assert check(home, False).state == "ok", check
    assert list(home.paths.run.iterdir()) == []


def test_packages_that_are_missing_or_old_are_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["no-such-package>=1", "pydantic>=99", "httpx>=0.1", 'also-none; extra == "lab"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: wanted)
    found = surroundings.packages(home, False)
    assert found.state == "problem"
    assert found.examples[0] == "no-such-package>=1: missing"
    assert found.examples[1].startswith("pydantic>=99: ")
    assert len(found.examples) == 2


def test_a_python_that_is_too_old(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings.platform, "python_version", lambda: "3.9.1")
    assert surroundings.python(home, False).state == "problem"


def test_a_loopback_that_refuses(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "create_connection", refuse)
    found = surroundings.loopback(home, False)
    assert (found.state, "not permitted" in found.message) == ("problem", True)


@pytest.mark.parametrize("damage", ["no folder", "a note of Git LFS"])
def test_a_starter_model_that_is_not_there(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    import shutil

    if damage == "a note of Git LFS":
        shutil.copytree(settings_module.data_folder() / "starter", tmp_path / "data" / "starter")
        for weights in (tmp_path / "data").rglob("*.safetensors"):
            weights.write_text("version https://git-lfs.github.com/spec/v1")
    monkeypatch.setattr(settings_module, "data_folder", lambda: tmp_path / "data")
    assert surroundings.starter(home, False).state == "warning"


def test_a_file_system_without_locks(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLock, "acquire", lambda *_: True)
    assert surroundings.locks(home, False).message == "Two at a time get the same lock."

    def refuse(*_: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    found: Found = surroundings.locks(home, False)
    assert (found.state, "No locks available" in found.message) == ("problem", True)
