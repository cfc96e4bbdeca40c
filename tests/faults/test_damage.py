"""Database and log cut, emptied, flipped, swapped and replaced by noise: refused and untouched, or
all acknowledged rows are there; never a loss that nobody noticed."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mysticanvas.errors import StoreDamaged, StoreTooNew
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

RECORD_AND_DIE = Path(__file__).parents[1] / "unit" / "store" / "record_and_die.py"

Damage = Callable[[Path, random.Random], None]


def cut(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def empty(file: Path, _chance: random.Random) -> None:
    os.truncate(file, 0)


def flip(file: Path, chance: random.Random) -> None:
    """Flip a bit, in the first sectors as often as anywhere."""
    content = bytearray(file.read_bytes())
    place = chance.randrange(chance.choice([min(len(content), 12_288), len(content)]))
    content[place] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def smear(file: Path, chance: random.Random) -> None:
    """Overwrite a sector with noise."""
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    content[place : place + 512] = chance.randbytes(len(content[place : place + 512]))
    file.write_bytes(content)


def noise(file: Path, chance: random.Random) -> None:
    file.write_bytes(chance.randbytes(file.stat().st_size))


def died(home: Path) -> HomePaths:
    """A home whose process recorded five pictures, and was killed."""
    paths = HomePaths.of(home)
    Store.open(paths).close()
    ended = subprocess.run([sys.executable, str(RECORD_AND_DIE), str(home)], check=False)
    assert ended.returncode == -signal.SIGKILL
    return paths


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    return died(tmp_path_factory.mktemp("killed") / "home")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    """Another home of the same history."""
    return died(tmp_path_factory.mktemp("other") / "home")


def digests(paths: HomePaths) -> dict[str, str]:
    files = (paths.database, paths.write_ahead_log)
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.exists()}


def assert_refused_or_whole(paths: HomePaths) -> None:
    before = digests(paths)
    try:
        store = Store.open(paths)
    except (StoreDamaged, StoreTooNew):
        assert digests(paths) == before
        return
    with store:
        assert [row["seq"] for row in store.database.read("SELECT seq FROM images")] == [
            1, 2, 3, 4, 5
        ]  # fmt: skip
        for row in store.database.read("SELECT id::VARCHAR AS id FROM images"):
            assert store.images.get(row["id"]).recipe.hash
        assert store.jobs.page().total == 5


@pytest.mark.timeout(0)
@pytest.mark.parametrize("damage", [cut, empty, flip, smear, noise])
@pytest.mark.parametrize("what", ["database", "write_ahead_log"])
def test_a_damaged_file_is_refused_or_harmless(
    killed: HomePaths, tmp_path: Path, count: int, faults: Any, damage: Damage, what: str
) -> None:
    chance = random.Random(what)
    for number in range(count):
        paths = HomePaths.of(Path(shutil.copytree(killed.root, tmp_path / str(number))))
        damage(getattr(paths, what), chance)
        with faults.inject(f"{damage.__name__}: {what}", "refused and untouched, or whole"):
            assert_refused_or_whole(paths)
        shutil.rmtree(paths.root)


@pytest.mark.parametrize("what", ["database", "write_ahead_log"])
def test_a_file_of_another_home_is_refused(
    killed: HomePaths, other: HomePaths, tmp_path: Path, faults: Any, what: str
) -> None:
    paths = HomePaths.of(Path(shutil.copytree(killed.root, tmp_path / "home")))
    shutil.copyfile(getattr(other, what), getattr(paths, what))
    before = digests(paths)
    with faults.inject(f"of another home: {what}", "refused and untouched"):
        with pytest.raises(StoreDamaged):
            Store.open(paths)
        assert digests(paths) == before
