"""Settings come from arguments, variables and defaults, in this order, and have limits."""

from __future__ import annotations

import math
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from mysticanvas.settings import Settings, data_folder


def test_arguments_come_before_variables_before_defaults(tmp_path: Path) -> None:
    environ = {"MYSTICANVAS_HOME": str(tmp_path), "MYSTICANVAS_KEEP_ALIVE_S": "5"}
    settings = Settings.load(environ, keep_alive_s=7, idle_timeout_s=None)
    assert settings.home == tmp_path
    assert settings.keep_alive_s == 7
    assert settings.idle_timeout_s == 900


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.load({"MYSTICANVAS_DEVICE": ""}).device == "auto"


@pytest.mark.parametrize("bad", [{"MYSTICANVAS_DEVICE": "tpu"}, {"MYSTICANVAS_THREADS": "0"}])
def test_a_variable_that_is_not_allowed_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.load(bad)


def test_no_number_is_endless_and_what_is_allowed_says_how_much_is() -> None:
    for name, field in Settings.model_fields.items():
        if field.annotation is float:
            for bad in (math.inf, math.nan, 1e300):
                with pytest.raises(ValidationError, match=name):
                    Settings.load({}, **{name: bad})
            assert " and at most 1" in Settings.allowed(name)
    assert Settings.allowed("keep_alive_s") == "a number above 0 and at most 1,000,000,000"
    never = Settings.load({}, keep_alive_s=1e9)
    assert time.monotonic() + never.keep_alive_s < threading.TIMEOUT_MAX
    assert datetime.now(UTC) - timedelta(
        days=Settings.load({}, deleted_grace_days=1e5).deleted_grace_days
    )


def test_a_child_gets_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.load({}, home=tmp_path, keep_alive_s=3, min_free_mib=1)
    assert Settings.load(settings.to_environ()) == settings


def test_a_home_with_a_tilde_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.load({}, home="~/pictures").home == tmp_path / "pictures"


@pytest.mark.parametrize("bad", ["a\0b", "what?", os.fsdecode(b"caf\xe9"), "what?/pictures"])
@pytest.mark.parametrize("setting", ["home", "state"])
def test_a_path_that_no_database_can_have_is_refused(
    tmp_path: Path, setting: str, bad: str
) -> None:
    with pytest.raises(ValidationError, match=setting):
        Settings.load({}, **{"home": tmp_path, setting: tmp_path / bad})


def test_the_starter_ships_with_the_package() -> None:
    assert (data_folder() / "starter" / "image").is_dir()
