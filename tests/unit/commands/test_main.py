"""What stands in the way of a command is explained in a line, and never as a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ending

from mysticanvas import settings
from mysticanvas.__main__ import main
from mysticanvas.contracts.doctor import Diagnosis
from mysticanvas.contracts.problem import Problem
from mysticanvas.home import HomePaths

COMMANDS = ("status", "doctor", "stop", "logs", "migrate", "restore --latest", "prune")
REFUSING = [command for command in COMMANDS if command != "doctor"]


def said(capsys: pytest.CaptureFixture[str], command: str, home: Path) -> str:
    """What a command that fails says."""
    assert main([*command.split(), "--home", str(home)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("mysticanvas: ")
    return told.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_variable_that_is_not_allowed_is_named(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MYSTICANVAS_KEEP_ALIVE_S", "abc")
    assert "MYSTICANVAS_KEEP_ALIVE_S='abc' is not allowed" in said(capsys, command, tmp_path)


@pytest.mark.parametrize("command", ["status", "doctor", "stop"])
def test_a_script_that_asked_for_json_finds_the_error_there(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MYSTICANVAS_KEEP_ALIVE_S", "abc")
    assert main([command, "--json", "--home", str(tmp_path)]) == 1
    told = capsys.readouterr()
    problem = Problem.model_validate_json(told.out)
    assert problem.code == "invalid_request"
    assert told.err == f"mysticanvas: {problem.to_error()}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_that_is_a_file_is_named(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    text = said(capsys, command, tmp_path / "file")
    assert f"home='{tmp_path / 'file'}' is not allowed; allowed is the path of a folder" in text


def test_what_the_system_refuses_is_told_in_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "File name too long" in said(capsys, "status", tmp_path / ("x" * 300))


def test_an_error_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "migrate", tmp_path / "\x1b[2J")
    assert f"There is no store in {tmp_path}/\\x1b[2J." in text


@pytest.mark.parametrize(
    "command", ["restore ~nobody-of-this-name/x", "backup ~nobody-of-this-name/x"]
)
def test_a_file_in_the_home_of_nobody(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, command, tmp_path)
    assert "FILE='~nobody-of-this-name/x' is not allowed" in text


def test_a_path_is_shown_as_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert "home='~nobody-of-this-name'" in said(capsys, "status", Path("~nobody-of-this-name"))


@pytest.mark.parametrize("command", [*REFUSING, "backup x", "demo --output x"])
def test_a_home_without_the_state_that_it_had_is_named(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    home, state = tmp_path / "home", tmp_path / "state"
    HomePaths.of(home, state).create()
    state.rename(tmp_path / "unmounted")
    before = sorted(tmp_path.rglob("*"))
    text = said(capsys, command, home)
    assert f"state.txt says {state}, and MYSTICANVAS_STATE is not set" in text
    monkeypatch.setenv("MYSTICANVAS_STATE", str(tmp_path / "unmounted"))
    text = said(capsys, command, home)
    assert f"state.txt says {state}, and MYSTICANVAS_STATE is {tmp_path / 'unmounted'}" in text
    assert sorted(tmp_path.rglob("*")) == before


def test_the_doctor_mends_nothing_in_a_home_without_its_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    HomePaths.of(home, state).create()
    state.rename(tmp_path / "unmounted")
    being_written = home / "images" / "x.tmp"
    being_written.touch()
    os.utime(being_written, (0, 0))
    before = sorted(home.rglob("*"))
    assert main(["doctor", "--repair", "--home", str(home)]) == 3
    assert f"× home: The home directory {home} cannot be used: " in capsys.readouterr().out
    assert sorted(home.rglob("*")) == before


def test_what_the_doctor_says_is_json_though_it_cannot_log(tmp_path: Path) -> None:
    paths = HomePaths.of(tmp_path)
    paths.create()
    (paths.run / "doctor.lock").mkdir()
    paths.start_lock.mkdir()
    # In a process of its own: loggers of this one were perhaps used before, and keep their way.
    command = [sys.executable, "-m", "mysticanvas", "doctor", "--json", "--home", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 3
    assert Diagnosis.model_validate_json(told.stdout).home == str(tmp_path)
    assert "doctor.lock" in told.stderr


def test_commands_find_the_state_that_a_home_had_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "_LAST_WORK_S", 0.0)
    monkeypatch.setenv("MYSTICANVAS_STOP_TIMEOUT_S", "0.2")
    paths = HomePaths.of(tmp_path / "home", tmp_path / "state")
    paths.create()
    with ending(paths) as process:
        assert main(["status", "--home", str(paths.root)]) == 1
        assert f"stopping · process {process.pid}" in capsys.readouterr().out
        assert main(["doctor", "--json", "--home", str(paths.root)]) == 3
        assert f"Process {process.pid} is stopping" in capsys.readouterr().out
        assert main(["stop", "--force", "--home", str(paths.root)]) == 0
        assert process.poll() is not None


def test_output_that_cannot_show_a_sign_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["status", "--home", str(tmp_path / "ü")]) == 3
    sys.stdout.flush()
    assert b"home          " + os.fsencode(tmp_path) + b"/?\n" in shown.getvalue()
