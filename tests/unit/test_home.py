"""A home and its state on another disk belong together, and are private to the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas.home import HomePaths, NotItsState
from mysticanvas.settings import Settings


def test_the_home_is_private(tmp_path: Path) -> None:
    paths = HomePaths.of(tmp_path / "a b" / "ü")
    paths.create()
    for folder in (paths.root, paths.images, paths.run, paths.logs):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_state_holds_what_needs_locks_and_the_home_the_rest(tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "loçal disk"
    environ = {"MYSTICANVAS_HOME": str(home), "MYSTICANVAS_STATE": str(state)}
    paths = Settings.load(environ).paths
    paths.create()
    local = (paths.database, paths.write_ahead_log, paths.run, paths.runtime_file, paths.backups)
    assert all(path.is_relative_to(state) for path in (*local, paths.store_lock, paths.start_lock))
    assert all(path.is_relative_to(home) for path in (paths.images, paths.thumbs, paths.logs))
    paths.create()


@pytest.mark.parametrize("state", [None, "local"])
def test_a_home_knows_what_is_its_own(tmp_path: Path, state: str | None) -> None:
    paths = HomePaths.of(tmp_path / "home", tmp_path / state if state else None)
    paths.create()
    (tmp_path / "link").symlink_to(paths.images)
    (tmp_path / "new").symlink_to(paths.root)
    own = [*(folder / "x" for folder in (paths.images, paths.backups, paths.run, paths.logs))]
    own += [paths.images, paths.images / "ab" / "x", tmp_path / "link" / "x"]
    own += [paths.database, paths.write_ahead_log, tmp_path / "new" / "thumbs" / "x"]
    assert all(map(paths.owns, own))
    free = [tmp_path / "x", paths.root / "x", paths.root / "images.zip", tmp_path / "images" / "x"]
    assert not any(map(paths.owns, free))


def test_home_and_state_belong_together(tmp_path: Path) -> None:
    home, state, other = tmp_path / "home", tmp_path / "state", tmp_path / "other"
    HomePaths.of(home, state).create()
    for paths in (HomePaths.of(home), HomePaths.of(home, other), HomePaths.of(other, state)):
        for refuse in (paths.check, paths.create):
            with pytest.raises(NotItsState, match="MYSTICANVAS_STATE"):
                refuse()
    assert not other.exists(), "what is refused leaves nothing, least of all a note"


def test_what_to_do_depends_on_which_note_disagrees(tmp_path: Path) -> None:
    home, state, other = tmp_path / "home", tmp_path / "state", tmp_path / "other"
    HomePaths.of(home, state).create()

    def hint(paths: HomePaths) -> str:
        with pytest.raises(NotItsState) as refused:
            paths.check()
        return refused.value.hint

    told = hint(HomePaths.of(other, state))
    assert "another MYSTICANVAS_STATE for this home, or none" in told
    assert f"write its path into {state / 'home.txt'}." in told
    for wrong in (HomePaths.of(home), HomePaths.of(home, other)):
        told = hint(wrong)
        assert f"{state} is there (is its disk mounted?)" in told
        assert f"write its path into {state / 'home.txt'}; if its state was, its own into" in told
    # What is said helps.
    moved = home.rename(tmp_path / "moved")
    assert f"write its path into {state / 'home.txt'}" in hint(HomePaths.of(moved))
    (state / "home.txt").write_text(str(moved))
    assert Settings.load({}, home=moved).state == state
    elsewhere = state.rename(other)
    (moved / "state.txt").write_text(str(elsewhere))
    assert Settings.load({}, home=moved).state == elsewhere


def test_a_home_with_a_database_gets_no_second_one_elsewhere(tmp_path: Path) -> None:
    home, state = HomePaths.of(tmp_path / "home"), tmp_path / "state"
    home.create()
    home.database.touch()
    apart = HomePaths.of(home.root, state)
    with pytest.raises(NotItsState, match=r"mysticanvas\.duckdb.*move"):
        apart.create()
    assert not state.exists()
    state.mkdir()
    for path in (home.database, home.backups, home.run):
        path.rename(state / path.name)
    apart.create()
    apart.check()
    assert Settings.load({}, home=home.root).state == state


def test_a_home_keeps_its_state(tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "loçal disk"
    HomePaths.of(home, state).create()
    (tmp_path / "link").symlink_to(home)
    for same in (home, tmp_path / "link", state / ".." / "home"):
        found = Settings.load({}, home=same)
        assert found.state == state
        found.paths.create()
    assert Settings.load({"MYSTICANVAS_STATE": str(tmp_path)}, home=home).state == tmp_path
    assert Settings.load({}, home=tmp_path).state is None


@pytest.mark.parametrize("note", [b"", b"relative", b"\0" * 9, b"/nowhere", b"copy", b"unreadable"])
def test_a_state_that_does_not_name_the_home_is_not_followed(tmp_path: Path, note: bytes) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    HomePaths.of(home, state).create()
    if note == b"copy":
        home = home.rename(tmp_path / "moved")
    elif note == b"unreadable":
        (state / "home.txt").unlink()
        (state / "home.txt").mkdir()
    else:
        (home / "state.txt").write_bytes(note)
    settings = Settings.load({}, home=home)
    assert settings.state is None
    with pytest.raises(NotItsState, match=r"state\.txt says .*MYSTICANVAS_STATE is not set"):
        settings.paths.check()
