"""Reports as people read them."""

from __future__ import annotations

from mysticanvas.commands.console import Console
from mysticanvas.commands.status import text
from mysticanvas.contracts.health import QueueStatus
from mysticanvas.contracts.status import (
    DiskReport,
    OrchestratorReport,
    StatusReport,
    WorkerReport,
)

PLAIN = Console(colour=False)
RUNS = StatusReport(
    home="/home/me/pictures",
    state="running",
    orchestrator=OrchestratorReport(
        pid=4711,
        version="1.2",
        url="http://127.0.0.1:1",
        uptime_s=3725,
        memory_mib=123.4,
        clients=["notebook kernel, process 12", "python, process 13"],
    ),
    workers=[
        WorkerReport(
            kind="image",
            state="busy",
            pid=4712,
            restarts=2,
            model="0123456789abcdef",
            memory_mib=2345.6,
            last_error="ended by SIGSEGV",
            reserve_pid=4713,
            reserve_mib=301.2,
        )
    ],
    queue=QueueStatus(queued=3, running=1, paused=True),
    disk=DiskReport(free=5 << 30, database=2 << 20, logs=0, backups=3 << 20),
)


def test_a_worker_has_the_model_of_its_preset() -> None:
    worker = RUNS.workers[0].model_copy(update={"preset": "starter"})
    assert " · preset starter · " in text(RUNS.model_copy(update={"workers": [worker]}), PLAIN)


def test_what_runs() -> None:
    assert text(RUNS, PLAIN).splitlines() == [
        "home          /home/me/pictures",
        "orchestrator  running · process 4711 · up 1 h 2 min · 123 MiB · version 1.2",
        "clients       notebook kernel, process 12; python, process 13",
        "image worker  busy · process 4712 · 2,346 MiB · model 0123456789ab · "
        "restarted 2 ×, last ended by SIGSEGV · in reserve: process 4713, 301 MiB",
        "queue         1 running, 3 waiting, paused",
        "disk          5.0 GiB free; database 2.0 MiB, backups 3.0 MiB, logs 0 B",
    ]


def test_nothing_runs_or_it_is_silent() -> None:
    stopped = StatusReport(home="/h", state="stopped")
    assert text(stopped, PLAIN).splitlines() == ["home          /h", "orchestrator  not running"]
    starting = stopped.model_copy(update={"state": "starting"})
    assert "orchestrator  about to start" in text(starting, PLAIN)
    silent = RUNS.model_copy(update={"state": "silent", "workers": [], "queue": None})
    assert "does not answer" in text(silent, PLAIN)
    assert "clients" not in text(silent, PLAIN)
    stopping = silent.model_copy(update={"state": "stopping"})
    assert "orchestrator  stopping · process 4711" in text(stopping, PLAIN)
    assert "clients" not in text(stopping, PLAIN)


def test_colours_keep_the_columns() -> None:
    import re

    painted = text(RUNS, Console(colour=True))
    assert "\033[36mbusy\033[0m" in painted
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == text(RUNS, PLAIN)


def test_nothing_that_others_say_steers_the_terminal() -> None:
    worker = RUNS.workers[0].model_copy(update={"last_error": "ended\x1b[2J"})
    orchestrator = RUNS.orchestrator
    assert orchestrator is not None
    shown = RUNS.model_copy(
        update={
            "home": "/h\x1b[2J",
            "workers": [worker],
            "orchestrator": orchestrator.model_copy(update={"clients": ["a\x1b]0;b\x07"]}),
        }
    )
    told = text(shown, PLAIN)
    assert "\x1b" not in told
    assert "\x07" not in told
    assert r"a\x1b]0;b\x07" in told
