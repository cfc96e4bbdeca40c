"""Two users of one machine and of one installation, which the second may only read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import processes_of

import mysticanvas
from mysticanvas import Canvas
from mysticanvas.environment import child_environment
from mysticanvas.home import HomePaths
from mysticanvas.settings import Ipc

SECOND = 54_321
"""A number of which the system knows neither name nor home, as some containers run their users."""
PACKAGE = Path(mysticanvas.__file__).parent
WAIT_S = 170


def closed(path: Path) -> Path | None:
    """The outermost folder on the way to a path that lets no other user through."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)


def stage(kept: Path) -> str:
    """A shell script that has the installation at its place, readable for everybody and writable
    for nobody, whoever's home it may be in."""
    needed = {Path(path).resolve() for path in (sys.base_prefix, sys.prefix, *sys.path)}
    hidden = {path: closed(path) for path in sorted(needed) if path.exists() and closed(path)}
    lines = []
    for number, path in enumerate(hidden):
        (kept / str(number)).mkdir(parents=True) if path.is_dir() else (kept / str(number)).touch()
        lines.append(f"mount --rbind '{path}' '{kept}/{number}'")
    lines += [f"mount -t tmpfs -o mode=755 tmpfs '{folder}'" for folder in set(hidden.values())]
    for number, path in enumerate(hidden):
        make = f"mkdir -p '{path}'" if path.is_dir() else f"touch '{path}'"
        lines += [make, f"mount --rbind '{kept}/{number}' '{path}'"]
    lines += [f"mount --bind '{PACKAGE}' '{PACKAGE}'", f"mount -o remount,bind,ro '{PACKAGE}'"]
    return "\n".join(lines)


@pytest.fixture
def grounds() -> Iterator[Path]:
    """A folder that every user can enter, for homes that are their owners' alone."""
    folder = Path(tempfile.mkdtemp(prefix="users-"))
    folder.chmod(0o755)
    yield folder
    for process in processes_of(folder):
        process.kill()
    shutil.rmtree(folder)


@pytest.fixture
def second(grounds: Path) -> Callable[..., dict[str, Any]]:
    """Runs a program as another user; what it prints, which is JSON."""
    if os.getuid() != 0:
        pytest.skip("only root can be a second user as well")
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("no unshare and setpriv of util-linux here")
    kept = grounds / "installation"
    kept.mkdir()
    mounts = stage(kept)
    probe = subprocess.run(["unshare", "--mount", "sh", "-ec", mounts], check=False)
    if probe.returncode != 0:
        pytest.skip("this root may mount nothing")
    user = grounds / "second"
    user.mkdir()
    os.chown(user, SECOND, SECOND)
    become = f"setpriv --reuid={SECOND} --regid={SECOND} --clear-groups"

    def run(program: str, *arguments: object) -> dict[str, Any]:
        environment = child_environment({"HOME": str(user), "MYSTICANVAS_SPARE_WORKER": "false"})
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "TMPDIR", "USER", "LOGNAME"):
            environment.pop(name, None)
        words = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
        ended = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", f'{mounts}\nexec {become} "$@"', "sh", *words],
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return dict(json.loads(ended.stdout))

    return run


END_TO_END = """
    import json, os
    from pathlib import Path
    import mysticanvas
    from mysticanvas import Canvas

    said = {"writable": [], "uids": []}
    package = Path(mysticanvas.__file__).parent
    for path in [package, *package.rglob("*")]:
        if os.access(path, os.W_OK):
            said["writable"].append(str(path))
    with Canvas() as canvas:
        image = canvas.generate("a red circle", num_inference_steps=2)
        said["home"] = str(canvas.home)
        said["found"] = canvas.search("circle").items[0].id == image.id
        said["again"] = canvas.reproduce(image).matches
        for pid in (os.getpid(), canvas.health().pid, canvas.workers[0].pid):
            said["uids"].append(os.stat(f"/proc/{pid}").st_uid)
        canvas.shutdown()
    print(json.dumps(said))
"""


def test_a_canvas_works_for_a_user_who_can_only_read_the_package(
    grounds: Path, second: Callable[..., dict[str, Any]]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in PACKAGE.rglob("*")}
    said = second(END_TO_END)
    assert said["writable"] == []
    assert said["uids"] == [SECOND] * 3
    home = Path(said["home"])
    assert home == grounds / "second" / ".local" / "share" / "mysticanvas"
    assert (said["found"], said["again"]) == (True, True)
    assert processes_of(home) == []
    owners = {(path.stat().st_uid, path.stat().st_mode & 0o077) for path in [home, home / "run"]}
    assert owners == {(SECOND, 0)}
    assert {path: path.stat().st_mtime_ns for path in PACKAGE.rglob("*")} == before


STRANGER = """
    import json, os, socket, sys
    from pathlib import Path
    from mysticanvas import Canvas, MystiCanvasError, transport

    home, runtime_file, url, *pids = sys.argv[1:]
    said = {"read": [], "refused": []}

    def attempt(what, call):
        try:
            said["read"].append([what, str(call())])
        except (OSError, MystiCanvasError) as error:
            said["refused"].append([what, type(error).__name__, str(error)])

    attempt("home", lambda: os.listdir(home))
    attempt("run", lambda: os.listdir(Path(runtime_file).parent))
    attempt("token", Path(runtime_file).read_text)
    attempt("database", lambda: (Path(home) / "mysticanvas.duckdb").read_bytes()[:9])
    attempt("log", (Path(home) / "logs" / "orchestrator.jsonl").read_text)
    for pid in pids:
        attempt("environment", Path(f"/proc/{pid}/environ").read_bytes)
        attempt("memory", Path(f"/proc/{pid}/mem").open)
        attempt("input", lambda: os.open(f"/proc/{pid}/fd/0", os.O_RDONLY))
    attempt("canvas", lambda: Canvas(home=home))
    attempt("health", lambda: Canvas(url=url, token="guess").health())
    print(json.dumps(said))
"""


@pytest.mark.parametrize("ipc", ["tcp", "unix"])
def test_another_user_gets_neither_the_token_nor_an_answer(
    grounds: Path, second: Callable[..., dict[str, Any]], ipc: Ipc
) -> None:
    paths = HomePaths.of(grounds / "first")
    with Canvas(home=paths.root, ipc=ipc) as canvas:
        runtime = json.loads(paths.runtime_file.read_text())
        pids = [process.pid for process in processes_of(paths.root)]
        assert runtime["pid"] in pids
        said = second(STRANGER, paths.root, paths.runtime_file, runtime["url"], *pids)
        assert said["read"] == []
        refused = {what: (kind, text) for what, kind, text in said["refused"]}
        assert runtime["token"] not in json.dumps(said)
        files = ["home", "run", "token", "database", "log", "environment", "memory", "input"]
        assert {refused.pop(what)[0] for what in files} == {"PermissionError"}
        kind, text = refused.pop("canvas")
        assert kind == "OrchestratorUnavailable"
        assert "cannot be used" in text
        assert "Permission denied" in text
        # A port can be reached by everybody, a socket in the home by nobody else.
        (kind, _) = refused.pop("health")
        assert kind == ("PermissionDenied" if ipc == "tcp" else "OrchestratorUnavailable")
        assert refused == {}
        commands = " ".join(word for pid in pids for word in psutil.Process(pid).cmdline())
        assert runtime["token"] not in commands
        canvas.shutdown()
