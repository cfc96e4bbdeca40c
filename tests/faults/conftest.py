"""How many faults of a kind are injected: a few in `make test`, many in `make faults`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes_of

FAULTS = "FAULTS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder belongs to `make faults`, which asks for the mark."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("fault")


@pytest.fixture
def count() -> int:
    return int(os.environ.get(FAULTS, "5"))


@pytest.fixture
def few(count: int) -> int:
    """Of faults that take seconds each: one in `make test`."""
    return max(1, count // 10)


@pytest.fixture
def seldom(count: int) -> int:
    """Of faults that are noticed by a deadline, after ten seconds each."""
    return max(1, count // 30)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of the test's own; what still runs in it ends with the test."""
    home = tmp_path / "home"
    yield home
    for process in processes_of(home):
        process.kill()
