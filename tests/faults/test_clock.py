"""A wall clock that is set while everything runs: what lasts is measured by another, and order is
that of recording."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import start_as

from mysticanvas import Canvas

WAIT_S = 150
KERNEL = """
    import sys
    from clocks import jump
    from mysticanvas import Canvas
    jump()
    with Canvas(home=sys.argv[1]) as canvas:
        image = canvas.generate(sys.argv[2], preset=sys.argv[3], num_inference_steps=2)
        assert next(iter(canvas.images)).id == image.id
        assert canvas.job(image.job_id).attempts == 1
        print(image.prompt)
"""


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
            with faults.inject("a kernel's clock that jumps by days", "it gets its picture"):
                prompts = [f"picture {number} of a kernel", *prompts]
                assert kernel(home, prompts[0], tiny_sd) == f"{prompts[0]}\n"
                assert [image.prompt for image in canvas.images] == prompts
                assert canvas.search("picture").total == len(prompts)
                worker = canvas.workers["image"]
                assert (worker.restarts, worker.model is None) == (0, False)
                assert canvas.health().pid == pid
        canvas.shutdown()
    for name in ("orchestrator", "worker-image"):
        assert span(home / "logs" / f"{name}.jsonl") > timedelta(days=1)


def kernel(*arguments: object) -> str:
    """What a kernel says whose clock jumps."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KERNEL), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def span(log: Path) -> timedelta:
    """How far apart the lines of a log say that they were written."""
    times = [
        datetime.fromisoformat(json.loads(line)["at"]) for line in log.read_text().splitlines()
    ]
    return max(times) - min(times)
