"""A wall clock that is set while everything runs: what lasts is measured by another, and order is
that of recording."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import start_as

from mysticanvas import Canvas

WAIT_S = 150


@pytest.mark.timeout(0)
def test_a_clock_that_jumps_by_days_changes_nothing(
    home: Path, few: int, faults: Any, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_as(monkeypatch, "jumping_clock")
    with Canvas(home=home, idle_timeout_s=600, keep_alive_s=600) as canvas:
        pid = canvas.health().pid
        prompts: list[str] = []
        for number in range(few):
            made = [f"picture {number} {place}" for place in "abcd"]
            with faults.inject("a clock that jumps by days", "jobs in order, no process is ended"):
                jobs = [
                    canvas.submit(prompt, preset=tiny_sd, num_inference_steps=2) for prompt in made
                ]
                for job in jobs:
                    assert job.result(WAIT_S).job_id == job.id
                    assert (job.attempts, job.failures) == (1, [])
                prompts = [*reversed(made), *prompts]
                assert [image.prompt for image in canvas.images] == prompts
                assert canvas.search("picture").total == len(prompts)
                worker = canvas.workers["image"]
                assert (worker.restarts, worker.model is None) == (0, False)
                assert canvas.health().pid == pid
        canvas.shutdown()
    assert span(home / "logs" / "orchestrator.jsonl") > timedelta(days=1)


def span(log: Path) -> timedelta:
    """How far apart the lines of a log say that they were written."""
    times = [
        datetime.fromisoformat(json.loads(line)["at"]) for line in log.read_text().splitlines()
    ]
    return max(times) - min(times)
