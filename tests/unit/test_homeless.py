"""A user of whom no home directory is known, as in a container that runs under a bare number."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.errors import InvalidRequest, PresetError
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import hub, library
from mysticanvas.orchestrator.loras import Lora, Loras
from mysticanvas.session import arguments
from mysticanvas.store import Store

USER = 54_321


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(HomePaths.of(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def homeless(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is a store, whose owner is looked at."""
    with pytest.raises(KeyError):
        pwd.getpwuid(USER)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MYSTICANVAS_HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: USER)


def test_without_a_home_it_is_said_how_to_give_one() -> None:
    with pytest.raises(InvalidRequest, match=f"directory of user {USER}") as refused:
        arguments.settings()
    assert "MYSTICANVAS_HOME" in refused.value.hint
    assert "--home" in refused.value.hint
    assert (refused.value.parameter, refused.value.allowed) == ("home", "the path of a folder")


def test_one_that_is_given_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert arguments.settings(home=tmp_path).home == tmp_path
    monkeypatch.setenv("MYSTICANVAS_HOME", str(tmp_path / "a"))
    assert arguments.settings(keep_alive_s=1).home == tmp_path / "a"


def test_models_are_listed_without_those_of_the_hub(store: Store) -> None:
    assert library.everywhere(store) == []


@pytest.mark.parametrize("named", ["", "~/cache"])
def test_what_needs_the_cache_of_the_hub_says_how_to_name_it(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", named)
    with pytest.raises(PresetError, match="not known where the local cache") as unknown:
        hub.locate("owner/name")
    assert "HF_HOME" in unknown.value.hint
    monkeypatch.setenv("HF_HUB_CACHE", "/cache")
    assert hub.cache() == Path("/cache")


def test_a_lora_has_its_whole_path_for_a_label() -> None:
    file = HashedFile(path="/x", sha256="0" * 64, size=1, mtime_ns=1, inode=1)
    assert Loras((Lora("/a/b.safetensors", file, 1.0),)).labels == {"/a/b.safetensors": "lora_1"}
