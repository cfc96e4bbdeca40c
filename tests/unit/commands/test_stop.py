"""An orchestrator that is about to end is there till its end: for `stop`, `doctor` and a canvas."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import ending

from mysticanvas import settings as settings_module
from mysticanvas.commands import status
from mysticanvas.commands.doctor import diagnose
from mysticanvas.commands.stop import stop
from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.locks import FileLock
from mysticanvas.session import calls, launch
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


@pytest.fixture
def starting(settings: Settings) -> Iterator[FileLock]:
    """The start lock, as a kernel has it that is starting an orchestrator."""
    with FileLock(settings.paths.start_lock) as lock:
        yield lock


@pytest.fixture
def coming_up(settings: Settings) -> Iterator[FileLock]:
    """The store's lock, as an orchestrator has it whose runtime file is not there (yet)."""
    with FileLock(settings.paths.store_lock) as lock:
        lock.write(f"{os.getpid()}\n")
        yield lock


SOON = pytest.mark.parametrize("soon", ["starting", "coming_up"])


@SOON
@WAYS
def test_one_that_is_starting_is_not_taken_for_none(
    settings: Settings,
    soon: str,
    end: Callable[[Settings], object],
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue(soon)
    with pytest.raises(OrchestratorUnavailable, match=r"has been starting .* more than 0\.1 s"):
        end(settings.model_copy(update={"start_timeout_s": 0.1}))
    assert status.report(settings.paths).state == "starting"


@SOON
@WAYS
def test_one_that_is_starting_is_waited_for_and_ended(
    settings: Settings,
    soon: str,
    end: Callable[[Settings], object],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It comes up, and is about to end, while it is looked for."""
    held = request.getfixturevalue(soon)
    with contextlib.ExitStack() as stack:
        came_up: list[subprocess.Popen[bytes]] = []

        def sleep(_: float) -> None:
            process = stack.enter_context(ending(settings.paths))
            held.release()
            process.kill()
            came_up.append(process)

        monkeypatch.setattr(launch, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
        end(settings)
        [process] = came_up
        assert process.poll() is not None


def test_a_start_that_came_to_nothing_leaves_nothing(
    settings: Settings, starting: FileLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = SimpleNamespace(sleep=lambda _: starting.release(), monotonic=time.monotonic)
    monkeypatch.setattr(launch, "time", gone)
    assert not stop(settings, force=False).stopped
    assert status.report(settings.paths).state == "stopped"


def test_locks_that_cannot_be_looked_at_are_named(settings: Settings) -> None:
    settings.paths.start_lock.mkdir()
    for ask in (lambda: stop(settings, False), lambda: status.report(settings.paths)):
        with pytest.raises(OrchestratorUnavailable, match=r"start\.lock: Is a directory"):
            ask()


@pytest.fixture
def hanging(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A process that has the store and says nothing, by the end of its command line."""
    code = """
        import sys, time
        from pathlib import Path
        from mysticanvas.locks import FileLock
        lock = FileLock(Path(sys.argv[1]))
        lock.acquire()
        lock.write(sys.argv[2] if sys.argv[2] != "-" else str(__import__("os").getpid()))
        print(flush=True)
        time.sleep(600)
    """
    with contextlib.ExitStack() as stack:

        def start(*words: str, noted: str = "-") -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", textwrap.dedent(code), settings.paths.store_lock]
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, noted, *words], stdout=subprocess.PIPE, start_new_session=True
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            return process

        yield start


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_hangs_in_its_start_is_named_and_ended_by_force(
    settings: Settings,
    hanging: Callable[..., subprocess.Popen[bytes]],
    end: signal.Signals,
) -> None:
    """It is killed only if it does not hear the signal that asks it to end."""
    home = f"{settings.home}/../home"
    process = hanging("-m", "mysticanvas.orchestrator", "--ready-fd", "3", "--home", home)
    soon = settings.model_copy(update={"start_timeout_s": 0.1})
    with pytest.raises(OrchestratorUnavailable, match=f"Process {process.pid} .*start") as refused:
        stop(soon, force=False)
    assert "--force" in refused.value.hint
    assert refused.value.extra["pid"] == process.pid
    assert process.poll() is None
    if end == signal.SIGKILL:
        process.send_signal(signal.SIGSTOP)
    assert stop(soon, force=True).killed == (end == signal.SIGKILL)
    assert process.wait(60) == -end


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-m", "mysticanvas", "doctor", "--home", "HOME"),
        ("-m", "mysticanvas.orchestrator", "--home", "/elsewhere"),
    ],
)
def test_force_ends_nothing_that_is_not_surely_ours(
    settings: Settings, hanging: Callable[..., subprocess.Popen[bytes]], words: tuple[str, ...]
) -> None:
    process = hanging(*(str(settings.home) if word == "HOME" else word for word in words))
    with pytest.raises(OrchestratorUnavailable, match="Somebody has been starting") as refused:
        stop(settings.model_copy(update={"start_timeout_s": 0.1}), force=True)
    assert refused.value.extra["pid"] == process.pid
    assert process.poll() is None


def test_nor_a_process_that_has_the_number_of_another_by_now(
    settings: Settings, hanging: Callable[..., subprocess.Popen[bytes]]
) -> None:
    words = ("-m", "mysticanvas.orchestrator", "--home", str(settings.home))
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", *words]
    ) as another:
        try:
            hanging(*words, noted=str(another.pid))
            with pytest.raises(OrchestratorUnavailable, match="Somebody has been starting"):
                stop(settings.model_copy(update={"start_timeout_s": 0.1}), force=True)
            assert another.poll() is None
        finally:
            another.kill()
