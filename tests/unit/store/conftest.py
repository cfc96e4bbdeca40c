"""A store in a temporary home, and makers of what goes into it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from makers import Maker

from mysticanvas.home import HomePaths
from mysticanvas.store import Store


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture(scope="session")
def new_maker() -> type[Maker]:
    """For fixtures that outlive a test."""
    return Maker


@pytest.fixture
def paths(tmp_path: Any) -> HomePaths:
    return HomePaths.of(tmp_path / "home")


@pytest.fixture
def store(paths: HomePaths) -> Iterator[Store]:
    with Store.open(paths) as opened:
        yield opened


@pytest.fixture
def digests() -> Callable[[HomePaths], dict[str, str]]:
    """Gives the files of a home's database as they are: SHA-256 by name."""

    def measure(paths: HomePaths) -> dict[str, str]:
        found = paths.root.glob("mysticanvas.duckdb*")
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    return measure
