"""Locks between processes."""

from __future__ import annotations

from pathlib import Path

from mysticanvas.locks import FileLock


def test_a_lock_is_in_place_while_its_path_leads_to_the_file_that_is_held(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    path.parent.mkdir()
    lock = FileLock(path)
    assert not lock.in_place()
    assert lock.acquire()
    assert lock.in_place()
    path.unlink()
    assert not lock.in_place()
    successor = FileLock(path)
    assert successor.acquire()
    assert successor.in_place()
    assert not lock.in_place(), "the file there is another"
    path.unlink()
    path.parent.rmdir()
    path.parent.touch()
    assert not lock.in_place(), "nor is there a folder"
    lock.release()
    successor.release()
