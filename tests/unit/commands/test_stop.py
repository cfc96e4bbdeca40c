"""An orchestrator that is about to end is there till its end: for `stop`, `doctor` and a canvas."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ending

from mysticanvas import settings as settings_module
from mysticanvas.commands.doctor import diagnose
from mysticanvas.commands.stop import stop
from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.session import calls
from mysticanvas.session.connection import Connection
from mysticanvas.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(settings_module, "_LAST_WORK_S", 0.0)
    settings = Settings.load({}, home=tmp_path / "home", stop_timeout_s=0.2)
    settings.paths.create()
    return settings


def shut_down(settings: Settings) -> None:
    calls.shutdown(Connection(settings), force=False)


WAYS = pytest.mark.parametrize("end", [lambda given: stop(given, False), shut_down])


@WAYS
def test_its_end_is_waited_for(settings: Settings, end: Callable[[Settings], object]) -> None:
    patient = settings.model_copy(update={"stop_timeout_s": 60.0})
    with ending(settings.paths) as process:
        threading.Timer(0.2, process.kill).start()
        end(patient)
        assert process.poll() is not None


@WAYS
def test_one_that_does_not_end_is_not_taken_for_none(
    settings: Settings, end: Callable[[Settings], object]
) -> None:
    with ending(settings.paths) as process:
        with pytest.raises(OrchestratorUnavailable, match=f"{process.pid}.*d(oes|id) not stop"):
            end(settings)
        assert process.poll() is None


def test_it_is_ended_by_force(settings: Settings) -> None:
    with ending(settings.paths) as process:
        assert stop(settings, force=True).killed
        assert process.poll() is not None


def test_the_doctor_leaves_it_its_file_and_the_store(settings: Settings) -> None:
    with ending(settings.paths) as process:
        first = diagnose(settings, settings.paths, repair=True).findings[0]
        assert (first.check, first.state) == ("orchestrator", "problem")
        assert f"Process {process.pid} is stopping" in first.message
        assert settings.paths.runtime_file.exists()
        assert not settings.paths.database.exists()
