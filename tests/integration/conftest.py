"""Homes of real processes; whatever a test starts is ended with it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import processes_of

from mysticanvas import Canvas

LIMIT_S = 400
"""A worker imports its libraries for 8 s on an idle machine, and up to a minute on a busy one; some
tests start five. More than any wait of a test, so that the wait says what was waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        here = item.path.is_relative_to(Path(__file__).parent)
        if here and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def make_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """Makes empty homes, on a path with a space and a letter that is not ASCII."""
    homes: list[Path] = []

    def make() -> Path:
        homes.append(tmp_path_factory.mktemp("home") / "my pïctures")
        return homes[-1]

    yield make
    for home in homes:
        for process in processes_of(home):
            process.kill()


@pytest.fixture
def home(make_home: Callable[[], Path]) -> Iterator[Path]:
    """A home of the test's own; its processes end with the test."""
    home = make_home()
    yield home
    for process in processes_of(home):
        process.kill()


@pytest.fixture(scope="session")
def _pictures(make_home: Callable[[], Path], tiny_sd: Path) -> Path:
    home = make_home()
    with Canvas(home=home, project="p") as canvas:
        for prompt in ("one", "zwei", "три"):
            canvas.generate(prompt, preset=tiny_sd, num_inference_steps=2)
        canvas.shutdown()
    return home


@pytest.fixture
def home_with_pictures(_pictures: Path, home: Path) -> Path:
    """A home of the test's own with three pictures, for tests that need no worker."""
    return Path(shutil.copytree(_pictures, home))


@pytest.fixture(scope="session")
def shared_home(make_home: Callable[[], Path]) -> Path:
    """A home whose orchestrator stays up, for tests that leave it as usable as they found it."""
    return make_home()


@pytest.fixture
def canvas(shared_home: Path) -> Iterator[Canvas]:
    """A canvas on the shared home, with a project of the test's own."""
    from mysticanvas.contracts.ids import new_id

    with Canvas(home=shared_home, project=f"test-{new_id()}") as canvas:
        yield canvas


@pytest.fixture
def folder(tiny_sd: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, named after the test: presets are of the shared home."""
    return Path(shutil.copytree(tiny_sd, tmp_path / f"model-{tmp_path.name}"))
