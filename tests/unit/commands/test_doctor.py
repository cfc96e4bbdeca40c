"""Diagnoses as people read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from busy import busy

from mysticanvas import locks
from mysticanvas.client import api
from mysticanvas.commands.console import Console
from mysticanvas.commands.doctor import diagnose, text
from mysticanvas.contracts.doctor import Diagnosis, Finding, State
from mysticanvas.settings import Settings


def diagnosis(*states: State) -> Diagnosis:
    findings = [
        Finding(check=state, state=state, message="It is\r.", hint="Do\x07.", examples=["a\x1b"])
        for state in states
    ]
    return Diagnosis(home="/h\x9b", findings=findings)


def test_a_finding_says_what_is_and_what_to_do() -> None:
    assert text(diagnosis("ok", "problem"), Console(colour=False)).splitlines() == [
        "The home is /h\\x9b.",
        "✓ ok: It is\\x0d.",
        "      a\\x1b",
        "    Do\\x07.",
        "× problem: It is\\x0d.",
        "      a\\x1b",
        "    Do\\x07.",
        "1 × something is wrong: see ×.",
    ]


@pytest.mark.parametrize(
    ("states", "last"),
    [
        (("ok", "repaired"), "Everything is in order."),
        (("ok", "warning"), "Nothing is wrong; see ! for what to know."),
    ],
)
def test_the_last_line_sums_up(states: tuple[State, ...], last: str) -> None:
    assert text(diagnosis(*states), Console(colour=False)).splitlines()[-1] == last
    assert text(diagnosis(*states), Console(colour=True)).endswith(f"{last}\033[0m")


def found(settings: Settings, check: str) -> Finding:
    [finding] = [
        each for each in diagnose(settings, settings.paths, False).findings if each.check == check
    ]
    return finding


def test_where_locks_do_not_hold_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "flock", lambda _: None)
    settings = Settings.load({}, home=tmp_path)
    assert found(settings, "locks").state == "problem"
    assert "MYSTICANVAS_STATE" in found(settings, "locks").hint
    assert "locks do not hold" in found(settings, "store").message


def test_a_state_folder_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    settings = Settings.load({}, home=tmp_path / "home", state=tmp_path / "local" / "state")
    assert found(settings, "locks").state == "ok"
    assert found(settings, "orchestrator").state == "ok"


def test_locks_that_cannot_be_looked_at_do_not_keep_the_rest_from_it(tmp_path: Path) -> None:
    settings = Settings.load({}, home=tmp_path)
    settings.paths.create()
    settings.paths.start_lock.mkdir()
    assert "start.lock" in found(settings, "store").message
    settings.paths.run.joinpath("start.lock").rmdir()
    (tmp_path / "state.txt").mkdir()
    assert "state.txt: Is a directory" in found(settings, "home").message
    assert found(settings, "permissions").state == "ok"


def test_a_home_that_cannot_be_looked_for_is_a_finding(tmp_path: Path) -> None:
    settings = Settings.load({}, home=tmp_path / ("x" * 300))
    assert "File name too long" in found(settings, "home").message
    assert found(settings, "python").state == "ok"


def test_an_examination_that_takes_long_is_not_taken_to_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LONG_ANSWER_S", 0.1)
    settings = Settings.load({}, home=tmp_path)
    with busy(settings.paths):
        told = found(settings, "orchestrator")
    assert "still at work on it" in told.message
    assert "--force" not in told.hint
