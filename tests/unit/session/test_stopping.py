"""An orchestrator that somebody else is ending is waited for, and none is started in its place."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import write_runtime

from mysticanvas.commands.stop import stop
from mysticanvas.contracts.problem import MEDIA_TYPE, Problem
from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.home import HomePaths
from mysticanvas.processes import Identity
from mysticanvas.session import calls, starting
from mysticanvas.session.connection import Connection
from mysticanvas.settings import Settings

ANSWERS = """
    import os, socket, sys, time
    listener = socket.create_server(("127.0.0.1", 0))
    held = os.fstat(listener.fileno()).st_ino
    print(listener.getsockname()[1], listener.fileno(), held, flush=True)
    connection, _ = listener.accept()
    connection.recv(1 << 16)
    connection.sendall(sys.argv[1].encode())
    connection.close()
    if sys.argv[2] == "ends":
        time.sleep(0.3)
        listener.close()
        time.sleep(0.3)
    else:
        sys.stdin.read()
"""


def refusal() -> str:
    """What an orchestrator answers that lets nobody in any more."""
    problem = Problem.of(
        OrchestratorUnavailable("The orchestrator is stopping.", hint="Ask again.")
    )
    body = problem.model_dump_json()
    head = f"HTTP/1.1 503 -\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}"
    return f"{head}\r\nconnection: close\r\n\r\n{body}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings.load({}, home=tmp_path / "home", stop_timeout_s=20.0)
    settings.paths.create()
    return settings


@contextlib.contextmanager
def answering(paths: HomePaths, text: str, then: str) -> Iterator[subprocess.Popen[str]]:
    """An orchestrator that answers one call and then, as `then` says, ends or goes on."""
    command = [sys.executable, "-c", textwrap.dedent(ANSWERS), text, then]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port, descriptor, inode = map(int, process.stdout.readline().split())
        me = Identity.of(process.pid)
        url = f"http://127.0.0.1:{port}"
        listener = (descriptor, inode)
        write_runtime(paths, pid=me.pid, started_at=me.started_at, listener=listener, url=url)
        try:
            yield process
        finally:
            process.kill()


def shut_down(settings: Settings) -> None:
    calls.shutdown(Connection(settings), force=False)


WAYS = pytest.mark.parametrize("end", [lambda given: stop(given, False), shut_down])


@pytest.mark.parametrize("text", [refusal(), ""], ids=["it refuses", "it hangs up"])
@WAYS
def test_one_that_is_being_ended_is_waited_for(
    settings: Settings,
    end: Callable[[Settings], Any],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[object] = []
    monkeypatch.setattr(starting, "start", lambda *given: started.append(given))
    with answering(settings.paths, text, "ends") as process:
        end(settings)
        assert not Identity.of(process.pid).alive()
    assert started == []


@WAYS
def test_one_that_hangs_up_and_goes_on_is_not_taken_for_ending(
    settings: Settings, end: Callable[[Settings], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.commands.stop._ANSWER_S", 0.2)
    with answering(settings.paths, "", "goes on") as process:
        with pytest.raises(OrchestratorUnavailable, match="does not answer"):
            end(settings.model_copy(update={"stop_timeout_s": 0.2}))
        assert process.poll() is None
