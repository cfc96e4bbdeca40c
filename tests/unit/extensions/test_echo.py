"""The echo extension by itself."""

from pathlib import Path
from typing import Any

import pytest
from mysticanvas_echo import MODEL, make_model
from mysticanvas_echo.drawing import draw
from mysticanvas_echo.engine import EchoEngine
from tasks import make_task

from mysticanvas.contracts.worker import Made, ModelRef, Previewed
from mysticanvas.errors import JobCancelled, ModelFileError
from mysticanvas.workers.engine import Control, Options


def test_the_picture_follows_from_prompt_and_seed() -> None:
    first = draw("hello", 7, (40, 24))
    assert first.size == (40, 24)
    assert first.tobytes() == draw("hello", 7, (40, 24)).tobytes()
    others = {draw("hello", 8, (40, 24)).tobytes(), draw("hallo", 7, (40, 24)).tobytes()}
    assert len(others | {first.tobytes()}) == 3


def test_it_draws_a_batch_with_previews_and_takes_its_time(tmp_path: Path) -> None:
    pauses: list[float] = []
    messages: list[Any] = []
    slow = make_model(tmp_path / "slow", seconds_per_step=0.5)
    engine = EchoEngine(Options(images=tmp_path), pauses.append)
    task = make_task(Path(slow), num_images=2)
    engine.generate(task, messages.append, Control(previews=True))
    assert pauses == [0.5] * 3
    assert [message.step for message in messages if isinstance(message, Previewed)] == [1, 2]
    made = [message for message in messages if isinstance(message, Made)]
    assert [each.image_id for each in made] == task.image_ids
    assert len({each.pixels_sha256 for each in made}) == 2
    assert engine.models == [task.model.digest]


def test_it_stops_between_two_steps(tmp_path: Path) -> None:
    control = Control()

    def cancel(_seconds: float) -> None:
        control.cancelled = True

    engine = EchoEngine(Options(images=tmp_path), cancel)
    with pytest.raises(JobCancelled):
        engine.generate(make_task(Path(MODEL)), lambda _: None, control)


@pytest.mark.parametrize("index", ["{}", "[]", "no JSON", '{"_class_name": "Other"}'])
def test_a_folder_that_is_none_of_its_own_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ModelFileError):
        EchoEngine(Options(images=tmp_path)).load(ModelRef(path=str(tmp_path), digest="d"))
