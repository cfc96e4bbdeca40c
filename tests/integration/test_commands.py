"""The commands, beside an orchestrator and without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import long_job, processes_of

from mysticanvas import Canvas
from mysticanvas.contracts.doctor import Diagnosis
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.status import StatusReport, StopReport
from mysticanvas.home import HomePaths
from mysticanvas.processes import Identity
from mysticanvas.store import Store


def mysticanvas(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mysticanvas", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def elsewhere(*words: object) -> subprocess.CompletedProcess[str]:
    """The same, in what takes itself for another environment."""
    program = (
        "import sys; sys.prefix = '/elsewhere'; from mysticanvas.__main__ import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_backup_while_it_runs_and_restore_which_stops_it(
    home: Path, tmp_path: Path, tiny_sd: Path
) -> None:
    backup = tmp_path / "backup.duckdb"
    with Canvas(home=home) as canvas:
        first = canvas.generate("one", preset=str(tiny_sd), num_inference_steps=2)
        pid = canvas.health().pid

        done = mysticanvas("backup", "--home", home, backup)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{backup}: 1 pictures, ")
        assert canvas.health().pid == pid
        again = mysticanvas("backup", "--home", home, backup)
        assert again.returncode == 1
        assert "none is overwritten" in again.stderr

        second = canvas.generate("two", preset=str(tiny_sd), num_inference_steps=2)
        refused = mysticanvas("restore", "--home", home, backup)
        assert refused.returncode == 1
        assert "--force" in refused.stderr
        assert canvas.health().pid == pid

        bad = backup.with_name("bad.duckdb")
        bad.write_bytes(b"this is no database" * 1000)
        for file, said in ((bad, f"{bad} is damaged"), (backup.with_name("no"), "is no backup")):
            refused = mysticanvas("restore", "--force", "--home", home, file)
            assert refused.returncode == 1
            assert said in refused.stderr
            assert canvas.health().pid == pid

    restored = mysticanvas("restore", "--home", home, backup)
    assert restored.returncode == 0, restored.stderr
    assert f"restored {backup}" in restored.stdout
    assert "Read back from image files: 1 pictures" in restored.stdout
    assert processes_of(home) == []
    with Canvas(home=home) as canvas:
        assert [image.id for image in canvas.images()] == [second.id, first.id]
        canvas.shutdown()


def test_migrate_stops_what_runs_and_restore_takes_the_newest_daily_backup(home: Path) -> None:
    paths = HomePaths.of(home)
    with Canvas(home=home) as canvas:
        pid = canvas.health().pid
        refused = mysticanvas("migrate", "--home", home)
        assert refused.returncode == 1
        assert "--force" in refused.stderr
        assert canvas.health().pid == pid
    assert processes_of(home) != []
    migrated = mysticanvas("migrate", "--home", home)
    assert migrated.returncode == 0, migrated.stderr
    assert "already" in migrated.stdout
    assert processes_of(home) == []

    with Store.open(paths) as store:
        store.backups.if_due(datetime.now(UTC))
    restored = mysticanvas("restore", "--latest", "--home", home)
    assert restored.returncode == 0, restored.stderr
    assert f"restored {max(paths.backups.glob('daily-*'))}" in restored.stdout


def test_a_damaged_store_says_the_command_that_mends_it(home: Path) -> None:
    Store.open(HomePaths.of(home)).close()
    assert "already" in mysticanvas("migrate", "--home", home).stdout
    (home / "mysticanvas.duckdb").write_bytes(b"this is no database" * 1000)
    refused = mysticanvas("migrate", "--home", home)
    assert refused.returncode == 1
    assert f"mysticanvas restore --from-images --home '{home}'" in refused.stderr
    mended = mysticanvas("restore", "--from-images", "--home", home)
    assert mended.returncode == 0, mended.stderr
    assert "a new store" in mended.stdout
    assert "already" in mysticanvas("migrate", "--home", home).stdout


@pytest.mark.parametrize("words", [["restore"], ["restore", "x", "--latest"], ["backup"]])
def test_wrong_usage(words: list[str]) -> None:
    assert mysticanvas(*words).returncode == 2


def status_of(home: Path) -> StatusReport:
    return StatusReport.model_validate_json(mysticanvas("status", "--home", home, "--json").stdout)


def findings(home: Path, *words: str) -> dict[str, tuple[str, str]]:
    done = mysticanvas("doctor", "--home", home, "--json", *words)
    diagnosis = Diagnosis.model_validate_json(done.stdout)
    assert done.returncode == (0 if diagnosis.well else 3)
    return {each.check: (each.state, f"{each.message} {each.hint}") for each in diagnosis.findings}


def test_status_while_nothing_runs(home: Path) -> None:
    done = mysticanvas("status", "--home", home)
    assert done.returncode == 3
    assert "not running" in done.stdout
    assert "\033" not in done.stdout
    assert status_of(home).model_dump() == {
        "home": str(home),
        "state": "stopped",
        "orchestrator": None,
        "workers": [],
        "queue": None,
        "disk": None,
    }
    assert not home.exists()


def test_status_of_what_runs(home: Path, tiny_sd: Path) -> None:
    with Canvas(home=home) as canvas:
        canvas.generate("x", preset=str(tiny_sd), num_inference_steps=2)
        # So long that it outlasts two commands on the busiest machine; it is cancelled.
        endless = {**long_job(tiny_sd), "num_images": 64}
        job = canvas.submit("x", **endless)
        next(event for event in job.events() if event.type == "progress")
        found = status_of(home)
        assert found.state == "running"
        assert found.orchestrator.pid == canvas.health().pid
        assert 20 < found.orchestrator.memory_mib < 1000
        assert 0 < found.orchestrator.uptime_s < 600
        (client,) = found.orchestrator.clients
        assert str(os.getpid()) in client
        worker, waiting = found.workers
        assert (waiting.kind, waiting.pid, waiting.state) == ("llm", None, "stopped")
        assert (worker.kind, worker.pid, worker.state) == ("image", canvas.workers[0].pid, "busy")
        assert worker.memory_mib > 50
        assert worker.model
        assert (found.queue.running, found.queue.queued) == (1, 0)
        assert found.disk.free > 0
        assert found.disk.database > 0
        assert found.disk.logs > 0
        shown = mysticanvas("status", "--home", home)
        assert shown.returncode == 0
        for said in ("running", f"process {worker.pid}", client, "1 running, 0 waiting", "free"):
            assert said in shown.stdout
        job.cancel()
        canvas.shutdown()


def test_stop_refuses_while_others_use_it_and_names_them(home: Path) -> None:
    with Canvas(home=home) as canvas:
        pid = canvas.health().pid
        # Who uses it is known by who listens, which begins behind the attachment.
        assert canvas._connection._stream.wait_connected(60)
        refused = mysticanvas("stop", "--home", home, "--json")
        assert refused.returncode == 4
        (client,) = StopReport.model_validate_json(refused.stdout).clients
        assert client in refused.stderr
        assert "--force" in refused.stderr
        assert canvas.health().pid == pid
    stopped = mysticanvas("stop", "--home", home)
    assert (stopped.returncode, stopped.stdout) == (0, f"Stopped what ran for {home}.\n")
    assert processes_of(home) == []
    again = mysticanvas("stop", "--home", home, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["stopped"] is False


def test_stop_by_force_while_it_is_used(home: Path) -> None:
    with Canvas(home=home) as canvas:
        started = [Identity.of(process.pid) for process in processes_of(home)]
        assert canvas.health().pid in {identity.pid for identity in started}
        assert mysticanvas("stop", "--home", home, "--force").returncode == 0
    assert not any(identity.alive() for identity in started)


def test_an_orchestrator_that_hangs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSTICANVAS_STOP_TIMEOUT_S", "0.5")
    with Canvas(home=home) as canvas:
        identity = Identity.of(canvas.health().pid)
        worker = Identity.of(canvas.workers[0].pid)
    os.kill(identity.pid, signal.SIGSTOP)
    found = mysticanvas("status", "--home", home)
    assert found.returncode == 1
    assert "does not answer" in found.stdout
    assert 0 < status_of(home).orchestrator.uptime_s < 600
    refused = mysticanvas("stop", "--home", home)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert identity.alive()
    ended = mysticanvas("stop", "--home", home, "--force", "--json")
    assert ended.returncode == 0, ended.stderr
    assert StopReport.model_validate_json(ended.stdout).killed
    assert identity.wait_gone(5)
    assert worker.wait_gone(5)


def test_one_of_another_environment_is_named_and_only_force_stops_it(home: Path) -> None:
    with Canvas(home=home) as canvas:
        identity = Identity.of(canvas.health().pid)
    for command in ("status", "stop"):
        refused = elsewhere(command, "--home", home, "--json")
        assert refused.returncode == 1
        assert sys.prefix in refused.stderr
        assert sys.prefix in Problem.model_validate_json(refused.stdout).detail
    diagnosis = Diagnosis.model_validate_json(elsewhere("doctor", "--home", home, "--json").stdout)
    (found,) = (each for each in diagnosis.findings if each.check == "orchestrator")
    assert found.state == "problem"
    assert sys.prefix in found.message
    assert identity.alive()
    assert elsewhere("stop", "--home", home, "--force").returncode == 0
    assert not identity.alive()


def test_the_doctor_before_the_first_start_and_after_a_kill(home: Path) -> None:
    found = findings(home)
    assert {state for state, _ in found.values()} == {"ok"}
    assert {"home", "python", "packages", "loopback", "starter model"} == set(found)
    assert not home.exists()
    with Canvas(home=home) as canvas:
        found = findings(home)
        assert found["orchestrator"] == ("ok", f"Process {canvas.health().pid} runs, and answers. ")
        assert found["locks"][0] == "ok"
        identity = Identity.of(canvas.health().pid)
    os.kill(identity.pid, signal.SIGKILL)
    assert identity.wait_gone(5)
    assert findings(home)["orchestrator"][0] == "warning"
    assert findings(home, "--repair")["orchestrator"][0] == "repaired"
    assert findings(home)["orchestrator"] == ("ok", "None runs; the next call starts one. ")


def test_output_that_nobody_reads_to_its_end_is_no_error(home: Path) -> None:
    (home / "logs").mkdir(parents=True)
    line = json.dumps({"at": "2026-05-04T10:00:00Z", "level": "info", "event": "x" * 1000})
    (home / "logs" / "a.jsonl").write_text(f"{line}\n" * 1000)
    command = f"'{sys.executable}' -m mysticanvas logs -n 1000 --home '{home}' | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_commands_load_neither_torch_nor_the_database() -> None:
    code = """
import sys
from mysticanvas.__main__ import main
main(["status", "--home", "/nowhere/at/all"])
main(["stop", "--home", "/nowhere/at/all"])
main(["logs", "--home", "/nowhere/at/all"])
heavy = {"torch", "diffusers", "duckdb", "fastapi", "IPython", "websockets", "structlog"}
print(*heavy & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
