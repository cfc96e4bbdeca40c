import os
import socket
import sys
from pathlib import Path

import pytest
from busy import busy, runtime

from mysticanvas import OrchestratorUnavailable
from mysticanvas.client import api
from mysticanvas.client.endpoint import Endpoint
from mysticanvas.session.connection import Connection
from mysticanvas.settings import Settings


def test_a_notice_is_news_once(connection: Connection) -> None:
    assert connection.news(["tiny", "slow"]) == ["tiny", "slow"]
    assert connection.news(["slow", "new"]) == ["new"]


def test_previews_of_one_who_does_not_listen_are_nothing(connection: Connection) -> None:
    with connection.previews():
        assert not connection.listening


def test_others_see_which_program_and_process_this_is(connection: Connection) -> None:
    assert connection.label.endswith(f", process {os.getpid()}")


def test_a_program_whose_name_is_no_text_has_one_that_can_be_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "argv", [os.fsdecode(b"/scripts/caf\xe9.py")])
    label = Connection(Settings.load({}, home=tmp_path)).label
    assert label.encode() == rf"caf\udce9.py, process {os.getpid()}".encode()


def test_an_orchestrator_that_hangs_is_not_asked_again_and_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LONG_ANSWER_S", 0.1)
    monkeypatch.setattr(api, "AT_ONCE_S", 0.1)
    connection.paths.create()
    with socket.create_server(("127.0.0.1", 0)) as hung:
        known = runtime(f"http://127.0.0.1:{hung.getsockname()[1]}", hung)
        connection.paths.runtime_file.write_text(known.model_dump_json())
        with pytest.raises(OrchestratorUnavailable, match=r"within 0\.1 s") as unavailable:
            connection.call(lambda client: client.unload(None, None))
        connection.close()
    assert f"(process {os.getpid()}) does not answer" in unavailable.value.detail


def test_one_that_is_at_work_is_told_from_one_that_hangs(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LONG_ANSWER_S", 0.1)
    with busy(connection.paths):
        with pytest.raises(OrchestratorUnavailable, match="still at work on it") as unavailable:
            connection.call(lambda client: client.doctor(False))
        connection.close()
    assert "end its process" not in unavailable.value.hint


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork_nothing_is_shared(tmp_path: Path) -> None:
    connection = Connection(Settings.load({}, home=tmp_path), Endpoint("http://127.0.0.1:9", "t"))
    connection.attach()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            connection.attach()
        except OrchestratorUnavailable as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        assert b"a forked process cannot use it" in told.read()
    connection.attach()
    connection.close()
