"""A home with real pictures, a store and a pool of real processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from makers import Maker

from mysticanvas.contracts import ids
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.store import NewImage, Store


class Context:
    """A job that goes on until it is told not to."""

    job_id = ids.new_id()

    def __init__(self) -> None:
        self.checks = 0
        self.on_check: Callable[[], None] = lambda: None

    def check(self) -> None:
        self.checks += 1
        self.on_check()

    def progress(self, fraction: float, stage: str) -> None:
        assert 0 <= fraction <= 1


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    return HomePaths.of(tmp_path / "my pïctures")


@pytest.fixture
def store(paths: HomePaths) -> Iterator[Store]:
    with Store.open(paths) as opened:
        yield opened


@pytest.fixture
def pool(paths: HomePaths, store: Store) -> Iterator[Pool]:
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 2)
    yield pool
    pool.close()
    assert pool.pids == []


@pytest.fixture
def thumbnails(store: Store, paths: HomePaths, pool: Pool) -> Thumbnails:
    return Thumbnails(store, paths.root, pool)


@pytest.fixture
def add(store: Store, paths: HomePaths) -> Callable[..., NewImage]:
    """Records a picture with its real file, or with the file content that is given."""
    maker = Maker()

    def make(
        size: tuple[int, int] = (300, 150), content: bytes | None = None, **changes: Any
    ) -> NewImage:
        recipe = maker.recipe(width=size[0], height=size[1])
        image = maker.png(paths, maker.image(ids.new_id(), recipe, **changes))
        if content is not None:
            path = paths.root / image.file.path
            path.write_bytes(content)
        store.images.add([image])
        return image

    return make


def is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def size_of(path: Path) -> tuple[int, int]:
    with PIL.Image.open(path) as picture:
        assert picture.format == "WEBP"
        return picture.size


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
