"""Model files are looked at by a process that may break off, hang or be fooled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog
import torch
from safetensors.torch import save_file

from mysticanvas.contracts.model_files import Inspection
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator import asking
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.workers.model_files import __main__ as looking

ANCHOR = "double_blocks.0.img_attn.norm.key_norm.scale"


def test_a_file_says_what_it_is_and_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flux.safetensors"
    save_file({ANCHOR: torch.zeros(128)}, path)
    inspector = Inspector()
    inspection = inspector.inspect(path)
    assert (inspection.architecture, inspection.numbers) == ("flux-1-schnell", 128)
    with monkeypatch.context() as patch:
        # No process can be started now, and none is needed.
        patch.setattr("sys.executable", "/no/such/python")
        assert inspector.inspect(path) == inspection
    save_file({"x": torch.zeros(2)}, path)
    os.utime(path, ns=(1, 1))
    assert inspector.inspect(path).architecture is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(bytes(4))
    with pytest.raises(ModelFileError, match=r"bad\.safetensors is damaged"):
        Inspector().inspect(path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        Inspector().inspect(tmp_path / "none.safetensors")


def test_one_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(bytes(4))
    # No process starts within that.
    with pytest.raises(ModelFileError, match=r"took more than 0\.001 s"):
        Inspector(time_limit_s=0.001).inspect(path)


def test_a_process_that_breaks_off_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(bytes(4))
    for program in ("/bin/false", "/bin/true"):
        monkeypatch.setattr("sys.executable", program)
        with pytest.raises(ModelFileError, match="broke off"):
            Inspector().inspect(path)


def test_one_that_could_not_be_read_is_asked_about_again_and_a_damaged_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(bytes(4))
    problem = Problem.of(ModelFileError("It cannot be read."))
    answers: list[Inspection] = []

    def answer(*_: object) -> bytes:
        return answers.pop(0).model_dump_json().encode()

    monkeypatch.setattr(asking, "ask", answer)
    inspector = Inspector()
    answers += [Inspection(problem=problem, unread=True), Inspection(numbers=7)]
    with pytest.raises(ModelFileError, match="cannot be read"):
        inspector.inspect(path)
    assert inspector.inspect(path).numbers == 7
    other = tmp_path / "b.safetensors"
    other.write_bytes(bytes(4))
    answers += [Inspection(problem=problem), Inspection(numbers=7)]
    for _ in range(2):
        with pytest.raises(ModelFileError, match="cannot be read"):
            inspector.inspect(other)
    assert len(answers) == 1


@pytest.mark.parametrize("suffix", ["safetensors", "gguf"])
def test_what_cannot_be_read_is_told_apart_from_what_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / f"a.{suffix}"
    path.write_bytes(bytes(4))
    damaged = looking.inspect(path)
    with monkeypatch.context() as patch:
        # Rights do not hold for who may do all, as tests may.
        patch.setattr(os, "open", refuse)
        patch.setattr(Path, "open", refuse)
        unread = looking.inspect(path)
    assert damaged.problem
    assert unread.problem
    assert (damaged.unread, unread.unread) == (False, True)


@pytest.mark.fault("the system ends a process that looks into a file", "the file is not blamed")
def test_a_process_that_was_ended_leaves_its_last_words_and_the_file_is_not_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, program = tmp_path / "a.safetensors", tmp_path / "python"
    path.write_bytes(bytes(4))
    program.write_text("#!/bin/sh\necho so far >&2\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    with (
        structlog.testing.capture_logs() as lines,
        pytest.raises(ModelFileError, match="was ended, maybe because memory ran out") as error,
    ):
        Inspector().inspect(path)
    [line] = [each for each in lines if each["event"] == "inspection_failed"]
    assert (line["code"], line["last_words"]) == (-9, ("so far",))
    assert "ownload" not in str(error.value.hint)
