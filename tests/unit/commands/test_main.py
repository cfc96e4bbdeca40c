"""What stands in the way of a command is explained in a line, and never as a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas.__main__ import main

COMMANDS = ("status", "doctor", "stop", "logs", "migrate", "restore --latest", "prune")


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
