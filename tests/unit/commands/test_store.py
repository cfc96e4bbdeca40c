"""The commands for the store: none is made where there is none, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas.__main__ import main
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

COMMANDS = ("migrate", "backup {backup}")


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    return HomePaths.of(tmp_path / "home")


def run(command: str, paths: HomePaths) -> int:
    words = command.format(backup=paths.root.with_name("backup.duckdb")).split()
    return main([*words, "--home", str(paths.root)])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_that_is_not_there_is_not_made(
    command: str, paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, paths) == 1
    assert f"There is no store in {paths.root}. Name another folder" in capsys.readouterr().err
    assert list(paths.root.parent.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_of_image_files_is_left_to_the_next_start(
    command: str, paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.create()
    (paths.images / "ab").mkdir()
    assert run(command, paths) == 1
    assert "Canvas(), which makes a store, from image files" in capsys.readouterr().err
    assert not paths.database.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_is_gone_is_told(
    command: str, paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    Store.open(paths).close()
    paths.database.unlink()
    assert run(command, paths) == 1
    assert "restore --from-images" in capsys.readouterr().err
    assert not paths.database.exists()


def test_a_store_that_is_there(paths: HomePaths, capsys: pytest.CaptureFixture[str]) -> None:
    Store.open(paths).close()
    for command, said in zip(COMMANDS, ("already", "0 pictures"), strict=True):
        assert run(command, paths) == 0
        assert said in capsys.readouterr().out


def test_the_name_of_a_file_steers_no_terminal(
    paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.create()
    (paths.images / "ab").mkdir()
    (paths.images / "ab" / "\x1b[2J.png").write_bytes(b"no picture")
    assert run("restore --from-images", paths) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\\x1b[2J.png" in told
