"""A disk that is full under a running orchestrator: 507, reads go on, and all is well with room.

A limit on the size of the orchestrator's files stands for the disk; it is set and lifted from
outside, while the process runs.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from http_client import client

from mysticanvas import Canvas

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="no limit can be set for another process here"
)


@pytest.fixture
def canvas(home: Path) -> Iterator[Canvas]:
    with Canvas(home=home) as canvas:
        yield canvas
        canvas.shutdown(force=True)


@pytest.fixture
def http(canvas: Canvas, home: Path) -> Iterator[httpx.Client]:
    canvas.health()
    runtime = json.loads((home / "run" / "orchestrator.json").read_text())
    with client(runtime["url"], runtime["token"]) as stranger:
        yield stranger


def limit_files(pid: int, size: int) -> None:
    """Let the files of a process grow to so many bytes and no further."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.fault("a full disk under an orchestrator", "507; reads go on")
def test_a_full_disk_is_507_over_http_and_costs_nothing(
    canvas: Canvas, http: httpx.Client, home: Path
) -> None:
    canvas.jobs.pause()
    body = {"kind": "generate", "params": {"prompt": "a red circle " * 1000, "seed": 1}}
    first = http.post("/v1/jobs", json=body).json()["id"]
    pid = canvas.health().pid

    log = home / "mysticanvas.duckdb.wal"
    limit_files(pid, log.stat().st_size)
    refused = http.post("/v1/jobs", json=body)
    assert refused.status_code == 507
    problem = refused.json()
    assert problem["code"] == "store_full"
    assert "The disk is full, so nothing was recorded." in problem["detail"]
    assert "Free some space" in problem["hint"]
    assert http.post("/v1/queue/resume").status_code == 507
    # Reads go on, and show what was acknowledged and no more.
    listed = http.get("/v1/jobs").json()
    assert [job["id"] for job in listed["items"]] == [first]
    assert http.get("/v1/queue").json()["paused"]
    assert http.get("/v1/images").status_code == 200

    limit_files(pid, resource.RLIM_INFINITY)
    second = http.post("/v1/jobs", json=body)
    assert second.status_code == 202
    assert http.get("/v1/jobs").json()["total"] == 2
