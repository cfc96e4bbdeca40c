"""Set-up: what is installed is pinned, and what the system lacks is named with its command."""

from __future__ import annotations

import ast
import itertools
import shutil
import sys
import venv
from pathlib import Path
from types import ModuleType

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


@pytest.mark.parametrize("module", [bootstrap, llama_wheel])
def test_an_old_python_reads_what_comes_before_its_version_is_looked_at(module: ModuleType) -> None:
    read = ast.parse(Path(str(module.__file__)).read_text(), feature_version=(3, 8))
    futures = [node for node in read.body if isinstance(node, ast.ImportFrom)]
    assert futures[0].module == "__future__", "annotations would be evaluated"
    assert [name.name for name in futures[0].names] == ["annotations"]
    evaluated = [
        node
        for statement in read.body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Subscript | ast.BinOp)
    ]
    assert not evaluated, "a type is spelled in a way that may be too new"


def an_environment(folder: Path, pip: str | None) -> None:
    """One that was being made: without pip, or with this part of its code."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    if pip is not None:
        (packages / "pip").mkdir()
        (packages / "pip" / "__main__.py").write_text(pip)


@pytest.mark.parametrize("pip", [None, "print('pip 26.0')"])
def test_an_environment_that_is_half_made_is_made_again(
    commands: list[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pip: str | None,
) -> None:
    monkeypatch.setattr(llama_wheel, "installed", lambda python, version: True)
    an_environment(tmp_path / "venv", pip)
    assert bootstrap.main() == 0
    assert commands[0] == (sys.executable, "-m", "venv", str(tmp_path / "venv"))


def test_an_environment_with_pip_is_used_as_it_is(
    commands: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_wheel, "installed", lambda python, version: True)
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    # By a link to its Python it would not be known as one.
    python = tmp_path / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o700)
    assert bootstrap.main() == 0
    assert not any("venv" in command for command in commands)


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
