"""Model files are looked at by a process that may break off, hang or be fooled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator.inspection import Inspector

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
