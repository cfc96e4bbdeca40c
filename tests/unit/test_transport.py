import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mysticanvas import errors, transport
from mysticanvas.session import arguments
from mysticanvas.settings import Ipc

LONG = transport.MAX_SOCKET_PATH_BYTES


def path_of(folder: Path, size: int) -> Path:
    """A path in the folder that has so many bytes."""
    rest = size - len(os.fsencode(folder)) - 1
    return folder / ("ü" * (rest // 2) + "x" * (rest % 2))


def connects(url: str) -> bool:
    path = transport.socket_path(url)
    place = urlsplit(url)
    with socket.socket(socket.AF_INET if path is None else socket.AF_UNIX) as peer:
        address = (place.hostname, place.port) if path is None else os.fsencode(path)
        return peer.connect_ex(address) == 0


@pytest.mark.parametrize("ipc", ["tcp", "unix"])
def test_who_has_the_address_can_connect_until_it_is_closed(tmp_path: Path, ipc: Ipc) -> None:
    path = tmp_path / "my pïctures %2F.sock"
    listener = transport.listen(ipc, path)
    assert transport.is_address(listener.url)
    assert connects(listener.url)
    assert not listener.socket.get_inheritable()
    listener.close()
    assert not connects(listener.url)
    assert list(tmp_path.iterdir()) == []


def test_tcp_is_on_the_loopback_interface_alone(tmp_path: Path) -> None:
    listener = transport.listen("tcp", tmp_path)
    assert listener.socket.getsockname()[0] == "127.0.0.1"
    assert listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    port = listener.socket.getsockname()[1]
    assert transport.hosts(listener.url) == {
        f"127.0.0.1:{port}".encode(),
        f"localhost:{port}".encode(),
    }
    listener.close()


def test_a_unix_socket_is_for_the_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listener = transport.listen("unix", tmp_path / "a.sock")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o600
    assert transport.hosts(listener.url) == {b"localhost"}
    listener.close()


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    program = f"import socket; socket.socket(socket.AF_UNIX).bind({str(path)!r})"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert path.exists()
    listener = transport.listen("unix", path)
    assert connects(listener.url)
    listener.close()


def test_the_longest_path_that_the_system_takes_works(tmp_path: Path) -> None:
    path = path_of(tmp_path, LONG)
    listener = transport.listen("unix", path)
    assert connects(listener.url)
    listener.close()


def test_a_path_that_is_too_long_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path = path_of(tmp_path, LONG + 1)
    with pytest.raises(errors.InvalidRequest, match=f"{LONG + 1} bytes.*allows {LONG}") as refused:
        transport.listen("unix", path)
    assert (refused.value.parameter, refused.value.value) == ("ipc", "unix")
    assert "ipc='tcp'" in refused.value.hint
    assert list(tmp_path.iterdir()) == []
    transport.check("tcp", path)


def test_named_pipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match="Windows") as refused:
        transport.listen("pipe", tmp_path / "a")
    assert refused.value.allowed == "'tcp' or 'unix'"


def test_a_folder_that_takes_no_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.OrchestratorUnavailable, match="No such file") as refused:
        transport.listen("unix", tmp_path / "nowhere" / "a.sock")
    assert str(tmp_path / "nowhere") in refused.value.hint


def test_an_address_names_what_carries_it() -> None:
    for url in ("http://127.0.0.1:1", "https://example.org", "http+unix://%2Frun%2Fa.sock"):
        assert transport.is_address(url)
    for url in ("", "/run/a.sock", "ws://127.0.0.1:1", "127.0.0.1:1"):
        assert not transport.is_address(url)


@pytest.mark.parametrize("given", ["pipe", "smoke"])
def test_a_canvas_refuses_what_is_no_choice(given: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        arguments.settings(ipc=given)
    assert refused.value.parameter == "ipc"


def test_the_environment_chooses_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MYSTICANVAS_IPC", "unix")
    assert arguments.settings(home=tmp_path).ipc == "unix"
    assert arguments.settings(home=tmp_path, ipc="tcp").ipc == "tcp"
    monkeypatch.setenv("MYSTICANVAS_IPC", "pipe")
    with pytest.raises(errors.InvalidRequest, match="pipes"):
        arguments.settings(home=tmp_path)
