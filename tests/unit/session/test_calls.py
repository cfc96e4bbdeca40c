"""The stop button at every moment of a call, and what is left of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from routes import Routes

from mysticanvas import Canvas, Stopped
from mysticanvas.client.api import Api
from mysticanvas.session import progress
from mysticanvas.session.tracker import Snapshot
from mysticanvas.store import Store


class Stopping:
    """A display that is stopped as soon as it shows that model files are read."""

    previews = False

    def prepare(self, seconds: float) -> None:
        raise KeyboardInterrupt

    def update(self, snapshot: Snapshot, seconds: float) -> None:
        raise AssertionError("there is no job to show")

    def finish(self, line: str) -> None:
        pass


@pytest.fixture
def answers(store: Store, routes: Routes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Has every request for pictures wait until this is set, as for files of 24 GB; then holds
    what came of it."""
    read, done = threading.Event(), threading.Event()
    generate = routes.intake.generate

    def slow(*arguments: Any) -> Any:
        try:
            assert read.wait(20)
            return generate(*arguments)
        finally:
            done.set()

    monkeypatch.setattr(routes.intake, "generate", slow)
    yield lambda: (read.set(), done.wait(20))
    read.set()


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "choose", lambda *_: Stopping())


@pytest.mark.usefixtures("stop")
def test_the_stop_button_while_model_files_are_read_leaves_no_job(
    canvas: Canvas, store: Store, model: str, answers: Callable[[], Any]
) -> None:
    with pytest.raises(Stopped, match="none will") as stopped:
        canvas.generate("x", preset=model)
    assert stopped.value.job is None
    answers()
    assert store.jobs.page().items == []


@pytest.mark.usefixtures("stop", "answers")
def test_a_second_stop_is_a_stop_as_well(
    canvas: Canvas, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped_again(self: Api, key: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Api, "withdraw", stopped_again)
    with pytest.raises(Stopped, match="not known"):
        canvas.generate("x", preset=model)


def test_the_stop_button_in_submit_cancels_a_job_that_nobody_would_hold(
    canvas: Canvas, store: Store, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Api.submit

    def interrupted(self: Api, *arguments: Any) -> None:
        submit(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Api, "submit", interrupted)
    with pytest.raises(Stopped, match="was cancelled") as stopped:
        canvas.submit("x", preset=model)
    assert stopped.value.job.status == "cancelled"
    assert [job.status for job in store.jobs.page().items] == ["cancelled"]
