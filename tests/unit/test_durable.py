"""Files that are whole or not there, written by processes that are killed meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mysticanvas import durable

REPLACE_FOR_EVER = """
    import itertools, sys
    from pathlib import Path
    from mysticanvas import durable
    for number in itertools.count():
        durable.replace(Path(sys.argv[1]), f"{number}\\n".encode() * 20_000)
        print(number, flush=True)
"""


def test_content_is_replaced_for_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"old", b"newer"):
        durable.replace(path, content)
        assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_has_no_room_is_told_from_what_fails_otherwise() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        assert durable.is_full(OSError(number, os.strerror(number)))
    assert not durable.is_full(OSError(errno.EIO, os.strerror(errno.EIO)))
    assert not durable.is_full(ValueError(errno.ENOSPC))


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()  # a file cannot take the place of a folder
    with pytest.raises(OSError, match="file"):
        durable.replace(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_put_into_a_folder_that_was_deleted_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    durable.replace(path, b"former", still=lambda: False)
    assert list(path.parent.iterdir()) == []

    def begun_anew() -> bool:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        return True

    with pytest.raises(FileNotFoundError):
        durable.replace(path, b"former", begun_anew)
    assert list(path.parent.iterdir()) == []


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, done = tmp_path / "file", []
    sync = os.fsync

    def noted(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        done.append(("folder" if is_folder else "content", path.exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    durable.replace(path, b"content")
    assert done == [("content", False), ("folder", True)]


def test_a_kill_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    command = [sys.executable, "-c", textwrap.dedent(REPLACE_FOR_EVER), str(path)]
    for kill in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(1 + 3 * kill):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        lines = path.read_text().splitlines()
        assert len(lines) == 20_000
        assert len(set(lines)) == 1
        assert int(lines[0]) >= acknowledged
    left = {file.suffix for file in tmp_path.iterdir() if file != path}
    assert left <= {durable.TEMPORARY}


LOCKED = """
import fcntl, sys
try:
    fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("locked")
"""


def test_a_clone_leaves_the_locks_of_this_process_alone(tmp_path: Path) -> None:
    """Whether or not this file system can clone; reading the file here would drop the lock."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")
    with source.open("r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        cloned = durable.clone(source, target)
        other = [sys.executable, "-c", LOCKED, str(source)]
        assert subprocess.check_output(other, text=True) == "locked\n"
        assert target.exists() == cloned
        source.read_bytes()
        assert subprocess.check_output(other, text=True) == ""


def test_where_nothing_can_be_cloned_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not durable.clone(tmp_path / "missing", tmp_path / "target")
    monkeypatch.setenv("PATH", "")
    (tmp_path / "source").write_bytes(b"content")
    assert not durable.clone(tmp_path / "source", tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
