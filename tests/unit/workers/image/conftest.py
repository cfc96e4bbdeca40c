"""One engine for all: what it imports and loads is the slow part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mysticanvas.contracts.worker import Finished, GenerateTask, Made, Previewed, Progressed
from mysticanvas.workers.engine import Control, Options
from mysticanvas.workers.image.engine import ImageEngine

Messages = list[Progressed | Previewed | Made]
Run = Callable[[GenerateTask], tuple[Messages, Finished]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worker-home")
    (folder / "images").mkdir()
    return folder


@pytest.fixture(scope="session")
def engine(home: Path) -> ImageEngine:
    return ImageEngine(Options(images=home / "images", device="cpu", threads=1))


@pytest.fixture
def run(engine: ImageEngine) -> Run:
    """Runs a task; gives the messages on the way and the last one."""

    def run(task: GenerateTask) -> tuple[Messages, Finished]:
        messages: Messages = []
        finished = engine.generate(task, messages.append, Control(previews=task.previews))
        return messages, finished

    return run
