"""The compiled wheel: what it depends on, where it is kept, and what is said without one."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

import llama_wheel
from llama_wheel import CannotCompile

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
ALL = ("sse4_2", "avx", "avx2", "bmi2", "fma", "f16c")


def compiler_stub(folder: Path, program: str) -> Path:
    """A program in place of the environment's Python, to be called as it is."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(llama_wheel, "_cache", lambda: tmp_path / "cache")
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    return tmp_path / "cache"


def test_the_release_and_the_build_tools_are_pinned() -> None:
    text = CONSTRAINTS.read_text()
    assert llama_wheel.pinned(text).count(".") == 2
    for tool in ("cmake", "ninja", "scikit-build-core"):
        assert f"\n{tool}==" in text


def test_it_is_not_made_for_this_very_processor() -> None:
    told = llama_wheel.flags(None, "x86_64", ALL)
    assert "-DGGML_NATIVE=OFF" in told
    assert "AVX" not in told
    assert "GGML_NATIVE" not in llama_wheel.flags(None, "aarch64", [])


def test_instructions_that_are_lacking_are_left_out() -> None:
    old = llama_wheel.flags(None, "x86_64", ("sse4_2", "avx")).split()
    assert {"-DGGML_AVX2=OFF", "-DGGML_FMA=OFF", "-DGGML_BMI2=OFF", "-DGGML_F16C=OFF"} <= set(old)
    assert "-DGGML_AVX=OFF" not in old


def test_flags_of_the_user_go_before_all() -> None:
    assert llama_wheel.flags("-DGGML_CUDA=on", "x86_64", ALL) == "-DGGML_CUDA=on"


def test_another_release_or_other_flags_are_another_wheel(cache: Path) -> None:
    folders = {
        llama_wheel.folder(version, flags) for version in ("1", "2") for flags in ("-DA=1", "-DB=1")
    }
    assert len(folders) == 4
    for folder in folders:
        assert folder.parent == cache / "mysticanvas" / "wheels"
        assert f"py{sys.version_info.major}.{sys.version_info.minor}" in folder.name


def test_it_is_compiled_once_and_then_taken_from_the_cache(cache: Path, tmp_path: Path) -> None:
    """The stub finds the folder behind `--wheel-dir`, as pip does."""
    program = """
    while [ "$1" != --wheel-dir ]; do shift; done
    for step in 1 2 3 4; do echo "  [$step/4] cc"; done
    echo "$CMAKE_ARGS" > "$2/it.whl"
    """
    python, said = compiler_stub(tmp_path, program), list[str]()
    wheel = llama_wheel.provide(python, CONSTRAINTS, said.append)
    assert "-DLLAMA_OPENSSL=OFF" in wheel.read_text()
    assert "once for this user" in said[0]
    assert [line for line in said if "%" in line] == [
        "compiling: 25 %", "compiling: 50 %", "compiling: 75 %",
    ]  # fmt: skip
    assert "compiled in" in said[-1]
    said.clear()
    never = compiler_stub(tmp_path, "exit 1")
    assert llama_wheel.provide(never, CONSTRAINTS, said.append) == wheel
    assert said == []
    assert [path.name for path in wheel.parent.parent.iterdir()] == [wheel.parent.name]


def test_a_compilation_that_fails_is_told_with_its_last_lines(cache: Path, tmp_path: Path) -> None:
    python = compiler_stub(tmp_path, "echo 'fatal error: no such header'; exit 3")
    with pytest.raises(CannotCompile, match="no such header"):
        llama_wheel.provide(python, CONSTRAINTS, lambda text: None)
    assert not list(cache.rglob("*.whl"))


def test_a_missing_compiler_is_named_with_what_installs_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(CannotCompile, match="C and C") as caught:
        llama_wheel.provide(Path(sys.executable), CONSTRAINTS, lambda text: None)
    assert caught.value.command == "sudo apt-get install build-essential"


def test_what_is_installed_is_not_made_again() -> None:
    version = llama_wheel.pinned(CONSTRAINTS.read_text())
    assert llama_wheel.installed(Path(sys.executable), version)
    assert not llama_wheel.installed(Path(sys.executable), "0.0.0")
