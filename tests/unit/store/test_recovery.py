"""After a crash: nothing acknowledged is lost, and what was lost otherwise is noticed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mysticanvas.errors import StoreDamaged, StoreError
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, migrate, opener, rebuild
from mysticanvas.store.restore import latest, restore, restore_from_images

Digests = Callable[[HomePaths], dict[str, str]]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def script(name: str, home: Path, *arguments: str) -> list[str]:
    """The command that runs a script of this folder on a home."""
    return [sys.executable, str(Path(__file__).with_name(name)), str(home), *arguments]


def wal(paths: HomePaths) -> Path:
    return paths.database.with_name(paths.database.name + ".wal")


@pytest.fixture(scope="module")
def killed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose process recorded five pictures, and was killed."""
    home = tmp_path_factory.mktemp("killed") / "home"
    Store.open(HomePaths.of(home)).close()
    ended = subprocess.run(script("record_and_die.py", home), check=False)
    assert ended.returncode == -signal.SIGKILL
    return home


@pytest.fixture
def killed(killed_home: Path, tmp_path: Path) -> HomePaths:
    """A copy of it."""
    return HomePaths.of(Path(shutil.copytree(killed_home, tmp_path / "home")))


def test_no_acknowledged_row_is_lost_by_kills(paths: HomePaths) -> None:
    """Ten processes in turn are killed in the middle of their commits."""
    command = script("commit_until_killed.py", paths.root, "10")
    acknowledged = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    with Store.open(paths) as store:
        stored = [row["id"] for row in store.database.read("SELECT id::VARCHAR AS id FROM jobs")]
    # A kill between commit and acknowledgement leaves one row more.
    assert set(acknowledged.split()) <= set(stored)
    assert len(stored) == len(set(stored)) <= len(acknowledged.split()) + 10
    assert len(list(paths.backups.glob("crash-*.wal"))) <= opener.KEPT_CRASHES


def test_the_log_of_a_crash_is_put_aside(killed: HomePaths) -> None:
    for old in range(4):
        (killed.backups / f"crash-2020010{old}T000000.000000Z.duckdb.wal").touch()
    left = wal(killed).read_bytes()
    assert left

    with Store.open(killed) as store:
        assert store.images.count() == 5
        assert store.versions[0] > 0

    kept = sorted(killed.backups.glob("crash-*.wal"))
    assert len(kept) == opener.KEPT_CRASHES
    assert kept[-1].read_bytes() == left


def test_what_a_crash_left_is_kept_whatever_clocks_have_said(killed: HomePaths) -> None:
    for day in range(1, 5):
        (killed.backups / f"crash-2999010{day}T000000.000000Z.duckdb.wal").touch()
    left = wal(killed).read_bytes()
    Store.open(killed).close()
    kept = sorted(killed.backups.glob("crash-*.wal"))
    assert len(kept) == opener.KEPT_CRASHES
    assert kept[0].read_bytes() == left
    assert kept[-1].name.startswith("crash-29990104")


def test_the_database_is_put_aside_too_where_that_is_free(
    killed: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is what the crash left, and both together can be brought back."""
    monkeypatch.setattr("mysticanvas.durable.clone", shutil.copyfile)
    old = killed.backups / "crash-20200101T000000.000000Z.duckdb"
    for number in range(4):
        old.with_name(old.name.replace("0101T", f"010{number}T")).touch()
        old.with_name(old.name.replace("0101T", f"010{number}T") + ".wal").touch()
    left = killed.database.read_bytes()

    Store.open(killed).close()

    assert not old.exists()
    kept = sorted(killed.backups.glob("crash-*.duckdb"))
    assert len(kept) == opener.KEPT_CRASHES
    assert kept[-1].read_bytes() == left
    done = restore(killed, kept[-1])
    assert done.backup == kept[-1]
    with Store.open(killed) as store:
        assert store.images.count() == 5


def test_an_older_database_in_its_place_is_noticed(
    paths: HomePaths, maker: Any, digests: Digests
) -> None:
    with Store.open(paths) as store:
        maker.recorded(store)
    old = paths.database.read_bytes()
    with Store.open(paths) as store:
        maker.recorded(store, size=2)
    paths.database.write_bytes(old)
    before = digests(paths)

    with pytest.raises(StoreDamaged, match=r"images is 1, was 3.*jobs_seq is 1, was 2"):
        Store.open(paths)

    assert digests(paths) == before


def cut(log: Path) -> None:
    os.truncate(log, log.stat().st_size // 2)


def flip_header(log: Path) -> None:
    content = log.read_bytes()
    log.write_bytes(bytes(byte ^ 0xFF for byte in content[:32]) + content[32:])


@pytest.mark.parametrize("damage", [cut, Path.unlink, flip_header])
def test_a_damaged_log_is_noticed(
    killed: HomePaths, digests: Digests, damage: Callable[[Path], None]
) -> None:
    damage(wal(killed))
    before = digests(killed)
    with pytest.raises(StoreDamaged, match="rows were lost"):
        Store.open(killed)
    assert digests(killed) == before


def test_a_log_of_an_earlier_state_is_never_replayed(killed: HomePaths) -> None:
    """Its rows are in the database already, and would be there twice."""
    stale = wal(killed).read_bytes()
    Store.open(killed).close()
    wal(killed).write_bytes(stale)
    with pytest.raises(StoreDamaged):
        Store.open(killed)


def gone(paths: HomePaths) -> None:
    paths.database.unlink()


def emptied(paths: HomePaths) -> None:
    os.truncate(paths.database, 0)


NOT_THERE = pytest.mark.parametrize("lose", [gone, emptied])


@NOT_THERE
@pytest.mark.parametrize("backed_up", [False, True])
def test_a_database_that_is_gone_or_empty_is_not_begun_anew(
    paths: HomePaths,
    maker: Any,
    digests: Digests,
    lose: Callable[[HomePaths], None],
    backed_up: bool,
) -> None:
    with Store.open(paths) as store:
        maker.recorded(store, size=2)
        if backed_up:
            store.backups.if_due(NOON)
    lose(paths)
    wal(paths).write_bytes(b"the log of the database that is gone")
    before, mark = digests(paths), paths.high_water.read_bytes()

    for _ in range(2):
        with pytest.raises(StoreDamaged, match="it held 2 pictures") as caught:
            Store.open(paths)
        assert digests(paths) == before
        assert paths.high_water.read_bytes() == mark
    assert "restore --from-images" in caught.value.hint
    assert ("restore --latest" in caught.value.hint) == backed_up
    assert ("daily-2026-11-22.duckdb" in caught.value.hint) == backed_up


@NOT_THERE
def test_backups_alone_say_that_there_was_a_database(
    paths: HomePaths, lose: Callable[[HomePaths], None]
) -> None:
    with Store.open(paths) as store:
        store.backups.if_due(NOON)
    lose(paths)
    paths.high_water.unlink()
    with pytest.raises(StoreDamaged, match="there are backups of it"):
        Store.open(paths)


@NOT_THERE
def test_a_restored_store_is_opened_again(
    paths: HomePaths, maker: Any, lose: Callable[[HomePaths], None]
) -> None:
    with Store.open(paths) as store:
        maker.recorded(store)
        store.backups.if_due(NOON)
    lose(paths)
    wal(paths).write_bytes(b"the log of the database that is gone")
    assert restore(paths, latest(paths)).backup == paths.backups / "daily-2026-11-22.duckdb"
    with Store.open(paths) as store:
        assert store.images.count() == 1
    [kept] = paths.backups.glob("aside-*.duckdb.wal")
    assert kept.read_bytes() == b"the log of the database that is gone"

    lose(paths)
    restore_from_images(paths)
    with Store.open(paths) as store:
        assert store.versions[0] > 0
        assert store.images.count() == 0


def test_a_log_without_its_database_is_kept(paths: HomePaths) -> None:
    paths.create()
    wal(paths).write_bytes(b"the log of a creation that was killed")
    Store.open(paths).close()
    [kept] = paths.backups.glob("crash-*.wal")
    assert kept.read_bytes() == b"the log of a creation that was killed"


def test_an_empty_file_is_a_creation_that_was_killed(paths: HomePaths) -> None:
    paths.create()
    paths.database.touch()
    with Store.open(paths) as store:
        assert store.versions[0] == 0


def test_a_database_without_tables_is_a_creation_that_was_killed(paths: HomePaths) -> None:
    paths.create()
    duckdb.connect(str(paths.database)).close()
    with Store.open(paths) as store:
        assert store.versions[0] == 0
    with Store.open(paths) as store:
        assert store.versions[0] > 0


@pytest.mark.parametrize("killed_at", ["run", "_apply"])
def test_a_store_made_beside_image_files_is_built_from_them_though_its_making_was_killed(
    paths: HomePaths, maker: Any, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    paths.create()
    maker.png(paths, maker.image(maker.job().id))

    with monkeypatch.context() as patch:
        patch.setattr(migrate, killed_at, killed_after(getattr(migrate, killed_at)))
        with pytest.raises(KeyboardInterrupt):
            Store.open(paths)

    with Store.open(paths) as store:
        report = rebuild.if_demanded(store, paths)
        assert report is not None
        assert report.added == 1
        assert rebuild.if_demanded(store, paths) is None


def killed_after(call: Callable[..., Any]) -> Callable[..., Any]:
    def killed(*arguments: Any) -> None:
        call(*arguments)
        raise KeyboardInterrupt

    return killed


def test_a_full_disk_loses_nothing_and_is_said(paths: HomePaths) -> None:
    command = script("fill_disk.py", paths.root)
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    saved, listed, status = map(int, said.split())
    assert saved == listed > 0
    assert status == 507
    with Store.open(paths) as store:
        assert len(store.presets.list()) == saved + 1
        assert store.presets.get("after")


def test_a_home_that_was_deleted_and_made_again_is_left_to_its_new_owner(
    paths: HomePaths, killed_home: Path, maker: Any, digests: Digests
) -> None:
    former = Store.open(paths)
    maker.recorded(former, size=9)
    shutil.rmtree(paths.root)
    shutil.copytree(killed_home, paths.root)
    before, mark = digests(paths), paths.high_water.read_bytes()

    former.raise_high_water()
    for write in (lambda: maker.recorded(former), former.checkpoint):
        with pytest.raises(StoreError, match="was deleted"):
            write()
    former.close()

    assert paths.high_water.read_bytes() == mark
    assert digests(paths) == before
    with Store.open(paths) as store:
        assert store.images.count() == 5


def test_a_store_whose_home_is_gone_is_closed_and_makes_no_file(
    paths: HomePaths, maker: Any
) -> None:
    store = Store.open(paths)
    maker.recorded(store)
    shutil.rmtree(paths.root)
    store.close()
    assert not paths.root.exists()
