"""Whose folders are taken for a home. Who is not root cannot give a folder to anybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mysticanvas import ownership
from mysticanvas.environment import child_environment
from mysticanvas.processes import spawn

STRANGER, US = 54_321, 54_322

if os.getuid() != 0:
    pytest.skip("only root can give folders to others", allow_module_level=True)


def given(path: Path, owner: int) -> Path:
    """A folder of another user."""
    path.mkdir()
    os.chown(path, owner, -1)
    return path


@pytest.fixture
def as_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: US)


@pytest.mark.usefixtures("as_us")
def test_what_is_ours_or_of_root_or_not_there_is_taken(tmp_path: Path) -> None:
    ownership.check(given(tmp_path / "ours", US), tmp_path, tmp_path / "nothing" / "there")


@pytest.mark.usefixtures("as_us")
def test_what_a_stranger_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", STRANGER, -1)
    (tmp_path / "link").symlink_to(given(tmp_path / "folder", STRANGER))
    for name in ("file", "folder", "link"):
        with pytest.raises(PermissionError, match=rf"another user \(number {STRANGER}\).*{name}"):
            ownership.check(tmp_path, tmp_path / name)


@pytest.mark.usefixtures("as_us")
def test_where_a_file_system_knows_us_by_another_number_that_is_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "_known_as", {tmp_path / "squashed": STRANGER}.get)
    ownership.check(given(tmp_path / "squashed", STRANGER))
    with pytest.raises(PermissionError):
        ownership.check(given(tmp_path / "strange", STRANGER))


def test_root_takes_anybodys_but_where_everybody_could_have_made_it(tmp_path: Path) -> None:
    home = given(tmp_path / "home", STRANGER)
    ownership.check(home)
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError):
        ownership.check(home)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_is_closed_if_nobody_can_have_shared_it_and_a_file_is(tmp_path: Path) -> None:
    empty, shared, database = (tmp_path / name for name in ("empty", "shared", "shared/database"))
    for folder in (empty, shared):
        folder.mkdir()
        folder.chmod(0o755)
    database.touch(0o644)
    ownership.take((empty, shared, tmp_path / "new"), (database, tmp_path / "none"))
    modes = [mode(path) for path in (empty, shared, tmp_path / "new", database)]
    assert modes == [0o700, 0o755, 0o700, 0o600]


def test_what_is_made_is_private_and_what_children_make_as_the_user_has_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with ownership.private():
            (tmp_path / "ours").touch()
            (tmp_path / "child.py").write_text(f"open({str(tmp_path / 'its')!r}, 'w')")
            environment = child_environment({"PYTHONPATH": str(tmp_path)})
            child = spawn("child", [], environment=environment, log=tmp_path / "log")
            child.process.wait(60)
            child.ready.close()
        (tmp_path / "after").touch()
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("ours", "its", "after")] == [0o600, 0o644, 0o644]
