"""Processes that come, go and are killed."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import psutil
import pytest
from support import long_job, processes_of

from mysticanvas import Canvas, errors
from mysticanvas.contracts.alerts import Alert
from mysticanvas.processes import Identity

WORKERS_GONE_S = 2.0


def in_another_kernel(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def identities(home: Path) -> list[Identity]:
    return [Identity.of(process.pid) for process in processes_of(home)]


def worker_pid(canvas: Canvas) -> int:
    worker = canvas.workers["image"]
    assert worker.pid is not None
    return int(worker.pid)


def test_two_kernels_share_one_orchestrator_and_see_each_others_pictures(
    canvas: Canvas, tiny_sd: Path
) -> None:
    code = """
        import sys
        from mysticanvas import Canvas
        with Canvas(home=sys.argv[1], project=sys.argv[2]) as canvas:
            image = canvas.generate("theirs", preset=sys.argv[3], num_inference_steps=2)
            print(canvas.health().pid, image.id)
            print(*[image.id for image in canvas.images()])
    """
    mine = canvas.generate("mine", preset=str(tiny_sd), num_inference_steps=2)
    other = in_another_kernel(code, canvas.home, canvas.project, tiny_sd)
    output, _ = other.communicate(timeout=120)
    (pid, theirs), seen_there = (line.split() for line in output.splitlines())
    assert int(pid) == canvas.health().pid
    assert seen_there == [theirs, mine.id]
    assert [image.id for image in canvas.images()] == [theirs, mine.id]


@pytest.mark.fault("SIGKILL of a kernel", "its job goes on")
def test_a_killed_kernel_leaves_its_job_running(canvas: Canvas, tiny_sd: Path) -> None:
    code = """
        import sys
        from mysticanvas import Canvas
        canvas = Canvas(home=sys.argv[1], project=sys.argv[2])
        job = canvas.submit("left behind", preset=sys.argv[3], num_inference_steps=400, seed=1)
        print(job.id, flush=True)
        sys.stdin.readline()
    """
    kernel = in_another_kernel(code, canvas.home, canvas.project, tiny_sd)
    job_id = kernel.stdout.readline().strip()
    kernel.kill()
    kernel.communicate()
    job = canvas.job(job_id)
    assert job.result(timeout=120).prompt == "left behind"
    assert job.attempts == 1


def test_cancel_ends_a_running_job_and_frees_the_worker(canvas: Canvas, tiny_sd: Path) -> None:
    worker = worker_pid(canvas)
    job = canvas.submit("x", **long_job(tiny_sd))
    waiting = canvas.submit("y", **long_job(tiny_sd))
    next(event for event in job.events() if event.type == "progress")
    waiting.cancel()
    job.cancel()
    for cancelled in (job, waiting):
        with pytest.raises(errors.JobCancelled):
            cancelled.result(timeout=60)
        assert cancelled.status == "cancelled"
    assert canvas.generate("next", preset=str(tiny_sd), num_inference_steps=2).width == 64
    assert canvas.images().total == 1
    assert worker_pid(canvas) == worker


def test_nothing_is_left_after_shutdown(home: Path) -> None:
    with Canvas(home=home) as canvas:
        started = identities(home)
        assert len(started) >= 1
        canvas.shutdown()
    assert not any(identity.alive() for identity in started)
    assert processes_of(home) == []
    assert not (home / "run" / "orchestrator.json").exists()


def test_kernels_that_shut_down_at_once_start_nothing_anew(home: Path) -> None:
    code = """
        import sys, time
        from mysticanvas import Canvas
        canvas = Canvas(home=sys.argv[1])
        print("attached", flush=True)
        sys.stdin.readline()
        time.sleep(float(sys.argv[2]))
        canvas.shutdown(force=True)
    """
    kernels = [in_another_kernel(code, home, 0.1 * k) for k in range(4)]
    for kernel in kernels:
        assert kernel.stdout.readline() == "attached\n"
    for kernel in kernels:
        kernel.stdin.write("\n")
        kernel.stdin.flush()
    for kernel in kernels:
        kernel.communicate(timeout=120)
    assert [kernel.returncode for kernel in kernels] == [0] * 4
    assert processes_of(home) == []
    log = (home / "logs" / "orchestrator.jsonl").read_text()
    assert log.count('"event": "started"') == 1


def test_no_worker_outlives_an_orchestrator_that_was_killed(home: Path) -> None:
    with Canvas(home=home) as canvas:
        worker = Identity.of(worker_pid(canvas))
        orchestrator = Identity.of(canvas.health().pid)
    os.kill(orchestrator.pid, signal.SIGKILL)
    assert worker.wait_gone(WORKERS_GONE_S)
    assert orchestrator.wait_gone(WORKERS_GONE_S)


def test_the_orchestrator_ends_when_nobody_needs_it(home: Path) -> None:
    with Canvas(home=home, idle_timeout_s=0.5):
        started = identities(home)
    for identity in started:
        assert identity.wait_gone(30)
    assert processes_of(home) == []
    with Canvas(home=home) as again:
        assert again.health().pid not in {identity.pid for identity in started}
        again.shutdown()


@pytest.mark.fault("the home is deleted under an orchestrator", "it ends")
def test_it_ends_as_well_when_its_home_was_deleted(home: Path) -> None:
    with Canvas(home=home, idle_timeout_s=0.5):
        started = identities(home)
        shutil.rmtree(home)
    for identity in started:
        assert identity.wait_gone(30)


@pytest.mark.fault("the home is deleted and started again", "the former orchestrator gives way")
def test_a_home_that_was_deleted_and_started_again_has_one_orchestrator(
    home: Path, tiny_sd: Path
) -> None:
    with Canvas(home=home) as canvas:
        former = Identity.of(canvas.health().pid)
        for _ in range(2):
            canvas.generate("of the former home", preset=tiny_sd, num_inference_steps=1)
        shutil.rmtree(home)
        with Canvas(home=home) as again:
            successor = Identity.of(again.health().pid)
            assert successor.pid != former.pid
            made = again.generate("of the new one", preset=tiny_sd, num_inference_steps=1)
            assert former.wait_gone(30)
            assert canvas.health().pid == successor.pid
        os.kill(successor.pid, signal.SIGKILL)
        assert successor.wait_gone(WORKERS_GONE_S)
    with Canvas(home=home) as third:
        assert [image.id for image in third.images()] == [made.id]
        third.shutdown()


def test_the_store_is_rebuilt_from_the_pictures_alone_and_that_is_told(
    home_with_pictures: Path, tiny_sd: Path
) -> None:
    home = home_with_pictures
    with Canvas(home=home, project="p") as canvas:
        before = list(canvas.images())
        assert [image.prompt for image in before] == ["три", "zwei", "one"]
        recipes = [image.recipe for image in before]
        canvas.shutdown()
    for path in home.glob("mysticanvas.duckdb*"):
        path.unlink()
    for path in (home / "run").iterdir():
        path.unlink()
    with Canvas(home=home, project="p") as canvas:
        after = list(canvas.images())
        assert [(i.id, i.created_at, i.prompt) for i in after] == [
            (i.id, i.created_at, i.prompt) for i in before
        ]
        assert [image.recipe for image in after] == recipes
        # It is told once, to those who wait for a picture.
        told = Queue[Alert]()
        canvas.on("alert", told.put)
        for prompt in ("four", "five"):
            canvas.generate(prompt, preset=tiny_sd, num_inference_steps=4)
        assert "3 pictures that it did not have were read back" in str(told.get(timeout=60))
        assert told.empty()
        canvas.shutdown()


def test_a_store_that_another_process_holds_is_a_clear_error(home: Path) -> None:
    from mysticanvas.home import HomePaths
    from mysticanvas.locks import FileLock

    paths = HomePaths.of(home)
    paths.create()
    lock = FileLock(paths.store_lock)
    assert lock.acquire()
    with lock, pytest.raises(errors.StoreLocked):
        Canvas(home=home)
    with Canvas(home=home) as canvas:
        canvas.shutdown()


@pytest.mark.fault("a process that has the store ends as it starts", "another is started")
def test_a_process_that_has_the_store_and_ends_is_waited_for(home: Path) -> None:
    """As an orchestrator does whose kernel was killed, if it fails behind that."""
    hold = """
        import sys
        from pathlib import Path
        from mysticanvas.home import HomePaths
        from mysticanvas.store import opener
        paths = HomePaths.of(Path(sys.argv[1]))
        paths.create()
        lock = opener.lock(paths)
        print("ready", flush=True)
        sys.stdin.read()
    """
    with in_another_kernel(hold, home) as child, ThreadPoolExecutor(1) as pool:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            attaching = pool.submit(Canvas, home=home)
            log = home / "logs" / "orchestrator.jsonl"
            while not (log.exists() and "start_failed" in log.read_text()):
                assert not attaching.done()
        finally:
            child.kill()
            child.wait()
        with attaching.result(120) as canvas:
            assert canvas.images().total == 0
            canvas.shutdown()


@pytest.mark.fault("a runtime file of a dead process", "another is started")
def test_a_runtime_file_of_a_dead_process_is_no_obstacle(home: Path) -> None:
    with Canvas(home=home) as first:
        pid = first.health().pid
        text = (home / "run" / "orchestrator.json").read_text()
        first.shutdown()
    (home / "run" / "orchestrator.json").write_text(text)
    with Canvas(home=home) as again:
        assert again.health().pid != pid
        again.shutdown()


def test_a_forked_child_gets_a_clear_error(canvas: Canvas) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            canvas.images()
        except errors.OrchestratorUnavailable as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert b"fork" in os.read(reader, 4096)
    os.close(reader)
    assert canvas.images().total == 0


def test_the_runtime_file_is_for_the_user_alone_and_no_secret_is_in_any_argv(
    canvas: Canvas, shared_home: Path
) -> None:
    import json

    file = shared_home / "run" / "orchestrator.json"
    assert file.stat().st_mode & 0o777 == 0o600
    token = json.loads(file.read_text())["token"]
    for process in psutil.process_iter(["cmdline"]):
        assert token not in " ".join(process.info["cmdline"] or [])
    assert canvas.health().pid == json.loads(file.read_text())["pid"]


def test_a_start_that_fails_says_why(
    make_home: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home()
    home.mkdir()
    (home / "mysticanvas.duckdb").write_bytes(b"this is no database" * 1000)
    with pytest.raises(errors.StoreDamaged, match=r"mysticanvas\.duckdb"):
        Canvas(home=home)
    assert (home / "mysticanvas.duckdb").read_bytes().startswith(b"this is no database")
