"""Digests of model files are right, and kept while a file looks the same."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mysticanvas.errors import ModelFileError
from mysticanvas.store import Store

OLD = b"old weights"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(OLD)
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def keep_time(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_digest_is_that_of_the_content(store: Store, weights: Path) -> None:
    assert store.model_files.sha256(weights) == digest(OLD)


def test_a_file_that_looks_the_same_is_not_read_again(store: Store, weights: Path) -> None:
    store.model_files.sha256(weights)
    before = weights.stat()
    with weights.open("r+b") as file:
        file.write(b"new")
    keep_time(weights, before)
    # Same size, time and inode: only the store can still know the old digest.
    assert store.model_files.sha256(weights) == digest(OLD)


@pytest.mark.parametrize("what", ["time", "size", "inode"])
def test_a_file_that_looks_different_is_read_again(store: Store, weights: Path, what: str) -> None:
    store.model_files.sha256(weights)
    before = weights.stat()
    content = b"new weights" if what != "size" else b"newer weights"
    if what == "inode":
        other = weights.with_suffix(".new")
        other.write_bytes(content)
        other.replace(weights)
    else:
        weights.write_bytes(content)
    if what == "time":
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    else:
        keep_time(weights, before)
    assert store.model_files.sha256(weights) == digest(content)
    assert store.model_files.sha256(weights) == digest(content)


def test_a_digest_goes_with_how_its_file_looks(store: Store, weights: Path) -> None:
    looks = weights.stat()
    first, known = store.model_files.hashed(weights), store.model_files.hashed(weights)
    assert first == known
    assert (first.path, first.sha256) == (str(weights), digest(OLD))
    assert (first.size, first.mtime_ns, first.inode) == (
        looks.st_size,
        looks.st_mtime_ns,
        looks.st_ino,
    )


def test_an_empty_file_has_a_digest(store: Store, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert store.model_files.sha256(empty) == digest(b"")


def test_a_missing_file_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.safetensors cannot be read"):
        store.model_files.sha256(tmp_path / "gone.safetensors")


def test_a_folder_is_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        store.model_files.sha256(tmp_path)


def test_a_file_is_read_once_for_all_who_ask_at_the_same_time(
    store: Store, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    reading, go_on = threading.Event(), threading.Event()
    digest_of = hashlib.file_digest

    def slow(file: Any, name: str) -> Any:
        reads.append(file.name)
        reading.set()
        go_on.wait(10)
        return digest_of(file, name)

    monkeypatch.setattr(hashlib, "file_digest", slow)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.model_files.sha256, weights)
        assert reading.wait(10)
        second = threads.submit(store.model_files.sha256, weights)
        # Long enough for one who does not wait to begin.
        assert not threading.Event().wait(0.1)
        go_on.set()
        assert first.result(10) == second.result(10) == digest(OLD)
    assert len(reads) == 1
