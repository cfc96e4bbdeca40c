"""Files that are loaded are those whose digests are told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tasks import hashed

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.model_files.unchanged import require, unchanged


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old weights")
    return path


def test_files_that_look_as_they_did_are_not_read(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = hashed(weights)
    monkeypatch.setattr(Path, "open", None)
    require([file])


def test_what_looks_otherwise_and_holds_the_same_counts_as_the_same(weights: Path) -> None:
    file = hashed(weights)
    other = Path(shutil.copy(weights, weights.with_suffix(".copy")))
    other.replace(weights)
    os.utime(weights, ns=(0, 0))
    require([file])


@pytest.mark.parametrize("how", ["written", "replaced", "gone"])
def test_what_is_another_is_named(weights: Path, how: str) -> None:
    file, looks = hashed(weights), weights.stat()
    if how == "gone":
        weights.unlink()
    else:
        new = weights if how == "written" else weights.with_suffix(".new")
        new.write_bytes(b"new weights")
        new.replace(weights)
    if how == "replaced":
        os.utime(weights, ns=(0, looks.st_mtime_ns))
    with pytest.raises(ModelFileError, match=r"model\.safetensors was replaced, written to"):
        require([file])


@pytest.mark.parametrize("fails", [False, True])
def test_what_changes_within_the_block_is_noticed_behind_it(weights: Path, fails: bool) -> None:
    with (
        pytest.raises(ModelFileError, match=r"model\.safetensors was replaced"),
        unchanged([hashed(weights)]),
    ):
        weights.write_bytes(b"new weights")
        if fails:
            raise ModelFileError("It is damaged.")
