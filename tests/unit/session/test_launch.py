import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import write_runtime as write

from mysticanvas import OrchestratorUnavailable, __version__, locks
from mysticanvas.commands import status
from mysticanvas.commands.doctor import diagnose
from mysticanvas.commands.stop import stop
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.home import HomePaths
from mysticanvas.locks import FileLock
from mysticanvas.session import launch, starting
from mysticanvas.settings import Settings


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    paths = HomePaths.of(tmp_path / "home")
    paths.create()
    return paths


def test_that_of_another_home_is_not_attached_to_by_its_state(paths: HomePaths) -> None:
    state = paths.root.with_name("state")
    of_another = HomePaths.of(paths.root.with_name("another"), state)
    of_another.create()
    write(of_another)
    with pytest.raises(
        OrchestratorUnavailable, match=f"home.txt says {of_another.root}"
    ) as refused:
        launch.attach(Settings.load({}, home=paths.root, state=state))
    assert "Set another MYSTICANVAS_STATE for this home, or none." in refused.value.hint


def start(patch: pytest.MonkeyPatch, module: str, folder: Path) -> None:
    """Have a module of that folder started as the orchestrator."""
    patch.setattr(starting, "MODULE", module)
    patch.setattr(starting, "child_environment", lambda extra: {**extra, "PYTHONPATH": str(folder)})


def test_a_live_orchestrator_is_found_and_attached_to(paths: HomePaths) -> None:
    runtime = write(paths)
    assert launch.find(paths) == runtime
    assert launch.attach(Settings.load({}, home=paths.root)) == runtime


def test_the_same_environment_by_another_path_is_ours(paths: HomePaths, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(sys.prefix)
    runtime = write(paths, prefix=str(link))
    assert launch.find(paths) == runtime
    write(paths, prefix=str(tmp_path))
    with pytest.raises(OrchestratorUnavailable, match="from another environment"):
        launch.find(paths)


@pytest.mark.parametrize("dead", [{"started_at": 1.0}, {"boot_id": "another"}, {"pid": 2**22 + 1}])
def test_the_process_must_be_the_very_one_that_wrote_the_file(
    paths: HomePaths, dead: dict[str, object]
) -> None:
    write(paths, **dead)
    assert launch.find(paths) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to others")
@pytest.mark.parametrize("put", ["as another user", "as a link", "as a pipe"])
def test_a_runtime_file_that_a_stranger_put_there_is_none(
    paths: HomePaths, put: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(paths)
    if put == "as another user":
        monkeypatch.setattr(os, "geteuid", lambda: 54_322)
        os.chown(paths.runtime_file, 54_321, -1)
    else:
        kept = paths.runtime_file.rename(paths.root / "kept.json")
        paths.runtime_file.symlink_to(kept) if "link" in put else os.mkfifo(paths.runtime_file)
    assert launch.recorded(paths) is None
    assert launch.find(paths) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to others")
def test_a_state_that_a_stranger_made_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = HomePaths.of(tmp_path / "home", tmp_path / "state")
    (paths.state / "run").mkdir(parents=True)
    write(paths)
    os.chown(paths.run, 54_321, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54_322)
    with pytest.raises(OrchestratorUnavailable, match="run: it belongs to another user"):
        launch.attach(Settings.load({}, home=paths.root, state=paths.state))
    assert not paths.root.exists()


def test_a_process_that_listens_no_longer_is_about_to_end(paths: HomePaths) -> None:
    assert launch.ending(paths) is None
    write(paths)
    assert launch.ending(paths) is None
    # No process has such a descriptor.
    runtime = write(paths, listener=(1 << 30, 1))
    assert launch.find(paths) is None
    assert launch.ending(paths) == runtime
    found = status.report(paths)
    assert found.state == "stopping"
    assert found.orchestrator is not None
    assert found.orchestrator.pid == os.getpid()
    write(paths, listener=(1 << 30, 1), pid=2**22 + 1)
    assert launch.ending(paths) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "x"}', "\0" * 100])
def test_a_file_that_is_no_runtime_counts_as_none(paths: HomePaths, text: str) -> None:
    paths.runtime_file.write_text(text)
    assert launch.find(paths) is None


def test_the_orchestrator_of_another_environment_is_refused(paths: HomePaths) -> None:
    write(paths, prefix="/elsewhere")
    with pytest.raises(OrchestratorUnavailable, match="/elsewhere") as refused:
        launch.attach(Settings.load({}, home=paths.root))
    assert "MYSTICANVAS_HOME" in refused.value.hint


def test_an_orchestrator_of_another_protocol_is_refused(paths: HomePaths) -> None:
    write(paths, protocol=PROTOCOL + 1, version="9.9")
    with pytest.raises(OrchestratorUnavailable, match=r"9\.9"):
        launch.find(paths)


def test_nothing_is_replaced_by_what_is_older_than_this_kernel(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a downgrade under a kernel that goes on: each of its calls would replace it."""
    write(paths)
    monkeypatch.setattr(launch, "__version__", "99.0")
    monkeypatch.setattr(launch, "_drain", lambda _: pytest.fail("it is in use"))
    with pytest.raises(OrchestratorUnavailable, match=rf"99\.0.*{__version__}") as refused:
        launch.attach(Settings.load({}, home=paths.root))
    assert "Restart this kernel" in refused.value.hint


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "0.0.1"}, r"installed is 0\.0\.1, which is older"),
        ({"version": "9.9", "protocol": PROTOCOL + 1}, r"is MystiCanvas 9\.9, which is newer"),
    ],
)
def test_what_was_started_is_judged_as_what_is_found(
    paths: HomePaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    told: str,
) -> None:
    """As where another version was installed under this kernel, and none runs."""
    runtime = write(paths, **changes).model_dump_json()
    paths.runtime_file.unlink()
    (tmp_path / "other.py").write_text(
        "import os, sys\n"
        f"os.write(int(sys.argv[2]), b'{{\"runtime\": ' + {runtime.encode()!r} + b'}}\\n')\n"
    )
    start(monkeypatch, "other", tmp_path)
    with pytest.raises(OrchestratorUnavailable, match=told) as refused:
        launch.attach(Settings.load({}, home=paths.root))
    assert "Restart this kernel" in refused.value.hint


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    home = tmp_path / "file" / "home"
    with pytest.raises(OrchestratorUnavailable, match="cannot be used") as refused:
        launch.attach(Settings.load({}, home=home))
    assert str(home) in str(refused.value)


def test_a_lock_that_cannot_be_had_is_named(paths: HomePaths) -> None:
    paths.start_lock.mkdir()
    with pytest.raises(OrchestratorUnavailable, match=r"start\.lock: Is a directory") as refused:
        launch.attach(Settings.load({}, home=paths.root))
    assert "MYSTICANVAS_HOME" in refused.value.hint


def test_a_start_that_never_ends_is_not_waited_for_forever(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_succession_s", lambda settings: settings.start_timeout_s)
    with FileLock(paths.start_lock), pytest.raises(OrchestratorUnavailable, match="Another kernel"):
        launch.attach(Settings.load({}, home=paths.root, start_timeout_s=0.1))


def test_another_kernel_has_the_time_for_a_whole_succession() -> None:
    settings = Settings.load({}, start_timeout_s=60, stop_timeout_s=10)
    whole_s = launch.DRAIN_S + settings.end_timeout_s + settings.start_timeout_s
    assert launch._succession_s(settings) >= whole_s


def test_a_child_that_is_at_work_is_waited_for(
    paths: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = write(paths).model_dump_json()
    paths.runtime_file.unlink()
    (tmp_path / "slow.py").write_text(
        "import os, sys, time\n"
        "for _ in range(12):\n"
        "    time.sleep(0.5)\n"
        "    os.write(int(sys.argv[2]), b' ')\n"
        f"os.write(int(sys.argv[2]), b'{{\"runtime\": ' + {runtime.encode()!r} + b'}}\\n')\n"
    )
    start(monkeypatch, "slow", tmp_path)
    found = launch.attach(Settings.load({}, home=paths.root, start_timeout_s=3))
    assert found.model_dump_json() == runtime


def test_a_child_that_ends_without_a_word_is_told_by_its_log(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "MODULE", "mysticanvas.no_such_module")
    with pytest.raises(OrchestratorUnavailable, match="no_such_module"):
        launch.attach(Settings.load({}, home=paths.root))
    assert FileLock(paths.start_lock).acquire(), "the start lock is free again"


@pytest.mark.parametrize("sign", ["", " "])
def test_a_child_that_never_reports_is_ended(
    paths: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    note = tmp_path / "pid"
    (tmp_path / "sleeper.py").write_text(
        f"import os, pathlib, sys, time\npathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
        f"os.write(int(sys.argv[2]), {sign.encode()!r})\n"
        "time.sleep(600)\n"
    )
    start(monkeypatch, "sleeper", tmp_path)
    with pytest.raises(OrchestratorUnavailable, match="was silent for 2 s"):
        launch.attach(Settings.load({}, home=paths.root, start_timeout_s=2))
    assert not Path(f"/proc/{note.read_text()}/cwd").exists()


def test_other_settings_are_refused_to_a_canvas_and_nobody_else(paths: HomePaths) -> None:
    write(paths, settings={"keep_alive_s": 900.0, "device": "auto"})
    asked = Settings.load({"MYSTICANVAS_DEVICE": "cpu"}, home=paths.root, keep_alive_s=900)
    with pytest.raises(OrchestratorUnavailable, match="device=auto and not device=cpu") as refused:
        launch.attach(asked, strict=True)
    assert "mysticanvas stop" in refused.value.hint
    assert launch.attach(asked).pid == os.getpid()


def no_locks(_: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.parametrize("flock", [no_locks, lambda _: None])
def test_a_home_whose_locks_do_not_hold_asks_for_a_state_on_a_local_disk(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch, flock: Callable[[int], None]
) -> None:
    monkeypatch.setattr(locks, "flock", flock)
    with pytest.raises(OrchestratorUnavailable, match="do not hold") as refused:
        launch.attach(Settings.load({}, home=paths.root))
    assert "MYSTICANVAS_STATE" in refused.value.hint
    assert not paths.database.exists()


@pytest.fixture
def there(paths: HomePaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileLock]:
    """The store's lock as an orchestrator on another machine has it."""
    monkeypatch.setattr(launch, "_launched", lambda *_: pytest.fail("one runs already"))
    # There may be a process of that number here as well.
    write(paths, host="pod-2", pid=os.getppid(), started_at=1.0)
    with FileLock(paths.store_lock) as lock:
        lock.write(f"{os.getppid()}\n")
        yield lock


def test_one_on_another_machine_is_neither_waited_for_nor_doubted(
    paths: HomePaths, there: FileLock
) -> None:
    settings = Settings.load({}, home=paths.root)
    told = f"runs on pod-2, as process {os.getppid()} there"
    for ask in (
        lambda: launch.attach(settings),
        lambda: stop(settings, force=True),
        lambda: status.report(paths),
    ):
        with pytest.raises(OrchestratorUnavailable, match=told) as refused:
            ask()
        assert "Stop it there" in refused.value.hint
    first = diagnose(settings, paths, repair=True).findings[0]
    assert (first.check, first.state) == ("orchestrator", "problem")
    assert told in first.message
    assert paths.runtime_file.exists()


def test_what_a_container_of_another_name_left_is_in_nobodys_way(
    paths: HomePaths, there: FileLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.release()
    settings = Settings.load({}, home=paths.root)
    assert status.report(paths).state == "stopped"
    assert not stop(settings, force=False).stopped
    runtime = launch.recorded(paths)
    assert runtime is not None
    monkeypatch.setattr(launch, "_launched", lambda *_: runtime)
    assert launch.attach(settings) == runtime


def test_a_machine_that_was_renamed_is_the_same(paths: HomePaths, there: FileLock) -> None:
    runtime = write(paths, host="as it was called before")
    assert launch.attach(Settings.load({}, home=paths.root)) == runtime
    there.write(f"{runtime.pid}\n")
    write(paths, host="as it was called before", listener=(1 << 30, 1))
    assert status.report(paths).state == "stopping"


def test_who_looks_waits_for_another_who_only_looks(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = FileLock(paths.start_lock)
    assert looking.acquire()
    monkeypatch.setattr(
        locks, "time", SimpleNamespace(sleep=lambda _: looking.release(), monotonic=time.monotonic)
    )
    assert not launch.starts(paths)


def test_who_looks_makes_no_file(paths: HomePaths) -> None:
    assert status.report(paths).state == "stopped"
    assert list(paths.run.iterdir()) == []


def test_on_a_disk_that_is_read_only_nobody_starts(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: FileLock) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    paths.start_lock.touch()
    monkeypatch.setattr(FileLock, "_open", refuse)
    assert status.report(paths).state == "stopped"
