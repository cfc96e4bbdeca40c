"""Fill the disk of a running orchestrator over HTTP until a CHECKPOINT has no room; then free it.

Usage: fill_disk_over_http.py HOME ROUNDS. The home is an empty file system of 64 MiB of which
nothing else is used. In every other round, the orchestrator is killed while the disk is full.
Prints, for each round, what was seen; the assertions on it are the test's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
from http_client import client
from mysticanvas_echo import MODEL
from support import kill

from mysticanvas import Canvas, errors
from mysticanvas.home import HomePaths

LEFT = 12 << 20
"""Bytes that are left for the log. Before they are used up, a CHECKPOINT is due for its commits,
which needs twice the size of the log."""
BODY = {
    "kind": "generate",
    "params": {
        "prompt": "a red circle " * 750,
        "negative_prompt": "a blue square " * 700,
        "seed": 1,
        "preset": str(MODEL),
    },
}

home = Path(sys.argv[1])
paths = HomePaths.of(home)
ballast = home / "ballast"
acknowledged: set[str] = set()
os.environ |= {
    "MYSTICANVAS_ENGINE": "echo",
    # All of the room that a job needs is that of its rows here.
    "MYSTICANVAS_MIN_FREE_MIB": "0",
}


def connect() -> httpx.Client:
    runtime = json.loads(paths.runtime_file.read_text())
    return client(runtime["url"], runtime["token"])


def fill(http: httpx.Client) -> httpx.Response:
    """Queue jobs until one is refused, then leave no room for anything smaller; the refusal."""
    while (answer := http.post("/v1/jobs", json=BODY)).status_code == 202:
        acknowledged.add(answer.json()["id"])
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return answer


def listed(canvas: Canvas) -> bool:
    """Whether the jobs that there are are those that were acknowledged."""
    return set(canvas.sql("SELECT id FROM jobs WHERE kind = 'generate'")["id"]) == acknowledged


def started_while_full() -> str:
    """The error of an attempt to start."""
    try:
        with Canvas(home=home) as canvas:
            canvas.health()
    except errors.MystiCanvasError as error:
        return error.code
    return "none"


def filled(killed: bool) -> dict[str, Any]:
    """One round."""
    seen: dict[str, Any] = {}
    with Canvas(home=home) as canvas:
        pid = canvas.health().pid
        canvas.jobs.pause()
        before, size = len(acknowledged), paths.database.stat().st_size
        ballast.write_bytes(bytes(shutil.disk_usage(home).free - LEFT))
        with connect() as http:
            refused = fill(http)
            seen["refused"] = {"status": refused.status_code, **refused.json()}
            seen["commits"] = len(acknowledged) - before
            seen["moved"] = [paths.database.stat().st_size != size]
            # Reads go on, and see all that was acknowledged.
            seen["total"] = http.get("/v1/jobs").json()["total"] == len(acknowledged)
            seen["queue"] = http.get("/v1/queue").status_code
            seen["images"] = http.get("/v1/images").status_code
            seen["again"] = http.post("/v1/jobs", json=BODY).status_code
            if not killed:
                ballast.unlink()
                freed = http.post("/v1/jobs", json=BODY)
                acknowledged.add(freed.json()["id"])
                seen["freed"] = freed.status_code
                seen["moved"] += [paths.database.stat().st_size != size]
                seen["listed"] = listed(canvas)
                canvas.shutdown(force=True)
    if killed:
        kill(pid)
        seen["start"] = started_while_full()
        ballast.unlink()
    with Canvas(home=home) as canvas:
        seen["kept"] = listed(canvas)
        canvas.shutdown(force=True)
    return seen


rounds = [filled(killed=bool(number % 2)) for number in range(int(sys.argv[2]))]
os.write(1, json.dumps(rounds).encode())
