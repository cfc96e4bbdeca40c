"""Set-up: what is installed is pinned, and what the system lacks is named with its command."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import pytest

import bootstrap
import llama_wheel

CONSTRAINTS = str(bootstrap.ROOT / "constraints.txt")


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would be run, noted in place of it."""
    noted: list[tuple[str, ...]] = []
    monkeypatch.setattr(bootstrap, "run", lambda *command: noted.append(command))
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", str(tmp_path / "venv")])
    return noted


def test_packages_and_what_builds_them_are_pinned(
    commands: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_wheel, "installed", lambda python, version: True)
    assert bootstrap.main() == 0
    installs = [command for command in commands if "install" in command]
    assert installs[0][-1] == bootstrap.PIP
    (packages,) = installs[1:]
    given = dict(itertools.pairwise(packages))
    assert packages.count("--editable") == 2
    assert given["--constraint"] == given["--build-constraint"] == CONSTRAINTS


def test_a_python_without_venv_is_told_what_installs_it(
    commands: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert bootstrap.main() == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert capsys.readouterr().out == (
        "== set-up: missing: Python's venv module. On Debian or Ubuntu: "
        f"sudo apt-get install python{version}-venv\n"
    )
    assert commands == []


def test_a_python_that_is_too_old_is_told_what_installs_another(
    commands: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert bootstrap.main() == 1
    said = capsys.readouterr().out
    assert "missing: Python 3.11 to 3.13" in said
    assert said.endswith("sudo apt-get install python3.11 python3.11-venv\n")
    assert commands == []


def test_a_missing_compiler_is_told_with_what_installs_it(
    commands: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def provide(*_: object) -> Path:
        raise llama_wheel.CannotCompile("a C and C++ compiler", "sudo apt-get install g++")

    monkeypatch.setattr(llama_wheel, "installed", lambda python, version: False)
    monkeypatch.setattr(llama_wheel, "provide", provide)
    assert bootstrap.main() == 1
    assert capsys.readouterr().out.endswith(
        "missing: a C and C++ compiler. On Debian or Ubuntu: sudo apt-get install g++\n"
    )
