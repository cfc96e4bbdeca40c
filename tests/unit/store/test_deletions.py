"""What was deleted or brought back after a backup stays so when that backup is restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mysticanvas.home import HomePaths
from mysticanvas.store import NewImage, Store, deletions, rebuild, tombstones
from mysticanvas.store.images import Images
from mysticanvas.store.restore import restore, restore_from_images


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "backup.duckdb"


def make(store: Store, paths: HomePaths, maker: Any, count: int) -> list[NewImage]:
    """Record pictures with their files."""
    made = [maker.png(paths, maker.image(maker.job().id)) for _ in range(count)]
    store.images.add(made)
    return made


def delete(store: Store, paths: HomePaths, *images: NewImage) -> None:
    gone = store.images.delete([image.id for image in images])
    tombstones.add(paths.images, gone)


def bring_back(store: Store, paths: HomePaths, image: NewImage) -> None:
    tombstones.replace(paths.images, lambda listed: listed - {image.id})
    assert store.images.restore([image.id]) == [image.id]


def shown(store: Store) -> set[str]:
    return {image.id for image in store.images.page(1000).items}


def test_each_file_that_is_looked_for_gives_a_sign(
    store: Store, paths: HomePaths, maker: Any
) -> None:
    gone, back, _ = make(store, paths, maker, 3)
    delete(store, paths, gone)
    store.images.delete([back.id])
    signs: list[int] = []
    caught = deletions.catch_up(store, paths.images, paths.root, lambda: signs.append(1))
    assert caught == (0, 1, 0)
    # Two that were deleted, then the two that are shown.
    assert len(signs) == 4


def test_what_was_deleted_after_the_backup_stays_deleted(
    paths: HomePaths, maker: Any, backup: Path
) -> None:
    """Whether the backup has it or not; its file has the grace, so that it can be brought back."""
    with Store.open(paths) as store:
        kept, old = make(store, paths, maker, 2)
        store.backups.save(backup)
        new, newer = make(store, paths, maker, 2)
        delete(store, paths, old, new)

    report = restore(paths, backup).images

    assert (report.added, report.deleted, report.back, report.missing) == (1, 2, 0, 0)
    assert report.skipped == []
    assert report.remarks() == ["2 pictures stay deleted; their files go when the grace is over."]
    with Store.open(paths) as store:
        assert shown(store) == {kept.id, newer.id}
        assert store.files.deleted_and_there() == {old.id, new.id}
        assert rebuild.rebuild(store, paths.images, paths.root).added == 0
        bring_back(store, paths, new)
        assert shown(store) == {kept.id, newer.id, new.id}


def test_what_was_deleted_stays_so_without_any_backup(paths: HomePaths, maker: Any) -> None:
    with Store.open(paths) as store:
        kept, gone = make(store, paths, maker, 2)
        delete(store, paths, gone)
    for _ in range(2):
        assert restore_from_images(paths).images.deleted == 1
        with Store.open(paths) as store:
            assert shown(store) == {kept.id}
            assert store.files.deleted_and_there() == {gone.id}


def test_what_was_brought_back_after_the_backup_is_there(
    paths: HomePaths, maker: Any, backup: Path
) -> None:
    """The next sweep would remove its file: the backup says that it was deleted long ago."""
    with Store.open(paths) as store:
        back, swept, still = make(store, paths, maker, 3)
        delete(store, paths, back, swept, still)
        store.backups.save(backup)
        bring_back(store, paths, back)
        (paths.root / swept.file.path).unlink()
        tombstones.replace(paths.images, lambda _: {still.id})

    report = restore(paths, backup).images

    assert (report.deleted, report.back, report.missing) == (0, 1, 0)
    assert "1 pictures that had been brought back" in report.remarks()[0]
    with Store.open(paths) as store:
        assert shown(store) == {back.id}


def test_without_a_list_nothing_comes_back(paths: HomePaths, maker: Any, backup: Path) -> None:
    with Store.open(paths) as store:
        delete(store, paths, *make(store, paths, maker, 1))
        store.backups.save(backup)
    (paths.images / "deleted.txt").unlink()
    assert restore(paths, backup).images.back == 0


def test_pictures_whose_files_are_gone_are_told(paths: HomePaths, maker: Any, backup: Path) -> None:
    """Whether they were removed or are lost, nobody can tell: they are left as they are."""
    with Store.open(paths) as store:
        kept, gone = make(store, paths, maker, 2)
        store.backups.save(backup)
    (paths.root / gone.file.path).unlink()
    report = restore(paths, backup).images
    assert (report.deleted, report.missing) == (0, 1)
    assert "1 pictures have no file any more" in report.remarks()[0]
    with Store.open(paths) as store:
        assert shown(store) == {kept.id, gone.id}


@pytest.mark.parametrize(
    ("owner", "step"), [(Images, "delete"), (Images, "restore"), (deletions, "_missing")]
)
def test_it_is_done_again_after_a_kill(
    paths: HomePaths,
    maker: Any,
    backup: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    step: str,
) -> None:
    with Store.open(paths) as store:
        gone, back = make(store, paths, maker, 2)
        delete(store, paths, back)
        store.backups.save(backup)
        bring_back(store, paths, back)
        delete(store, paths, gone, *make(store, paths, maker, 1))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, killed)
        with pytest.raises(KeyboardInterrupt):
            restore(paths, backup)
    with Store.open(paths) as store:
        assert rebuild.if_demanded(store, paths) is not None
        assert shown(store) == {back.id}
        assert rebuild.if_demanded(store, paths) is None
