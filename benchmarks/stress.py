"""Many kernels on one orchestrator: every job has one result, every listener hears everything,
and so does every callback.

`python -m benchmarks.stress` is the long run, and prints what it found; the exit code is 1 if
anything was lost, done twice, or came out of order.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks import child
from benchmarks.child import Answer, Child
from benchmarks.subject import SILENT, STARTER, new_home
from mysticanvas import Canvas

PATIENCE_S = 300.0


class Outcome(NamedTuple):
    """What came of a run."""

    kernels: int
    jobs: int
    errors: list[str]
    without_result: int
    twice: int
    events: int
    """Those that the listener who was there longest heard."""
    incomplete: int
    """Listeners that missed an event, or heard them out of order."""
    callbacks: int
    """Calls of functions given to `canvas.on`, in the kernel that had most."""
    astray: int
    """Kernels whose callbacks were not told what the stream brought, once and in order."""

    @property
    def well(self) -> bool:
        faults = (self.errors, self.without_result, self.twice, self.incomplete, self.astray)
        return self.jobs > 0 and self.callbacks > self.jobs and not any(faults)

    def __str__(self) -> str:
        return (
            f"{self.kernels} kernels, {self.jobs} jobs: {len(self.errors)} errors, "
            f"{self.without_result} without a result, {self.twice} with more than one; "
            f"{self.events} events, {self.incomplete} listeners missed any; "
            f"{self.callbacks} callbacks, {self.astray} kernels had them otherwise than the stream"
        )


def run(home: Path, model: Path, kernels: int, submitters: int, seconds: float) -> Outcome:
    """Have `kernels` listen, and `submitters` of them submit one job after the other."""
    with Canvas(home=home, idle_timeout_s=PATIENCE_S) as canvas, contextlib.ExitStack() as ended:
        canvas.generate("the first loads the model", preset=model, num_inference_steps=1)
        times = [seconds] * submitters + [0.0] * (kernels - submitters)
        started = [ended.enter_context(_kernel(home, model, submits_s)) for submits_s in times]
        with ThreadPoolExecutor(kernels) as pool:
            list(pool.map(Child.hear, started))
            done = list(pool.map(lambda kernel: kernel.ask(go=True), started))
            last = _newest_event(home)
            heard = list(pool.map(lambda kernel: kernel.ask(last=last), started))
        return _outcome(canvas, done, heard)


def _kernel(home: Path, model: Path, seconds: float) -> contextlib.AbstractContextManager[Child]:
    arguments = (str(home), str(model), str(seconds))
    return child.start("benchmarks.stress_kernel", *arguments, environment=SILENT)


def _newest_event(home: Path) -> int:
    """The number of the newest event: who begins to listen is told."""
    with Canvas(home=home) as late:
        stream = late._connection._stream
        assert stream is not None
        assert stream.wait_connected(PATIENCE_S)
        return int(stream._seq or 0)


def _outcome(canvas: Canvas, done: list[Answer], heard: list[Answer]) -> Outcome:
    jobs = [job for kernel in done for job in kernel["jobs"]]
    rows = canvas.sql("SELECT job, count(*) AS made FROM images GROUP BY job")
    made = dict(zip(rows["job"], rows["made"], strict=True))
    return Outcome(
        kernels=len(done),
        jobs=len(jobs),
        errors=[error for kernel in done for error in kernel["errors"]],
        without_result=sum(job not in made for job in jobs),
        twice=sum(count > 1 for count in made.values()),
        events=max(kernel["events"] for kernel in heard),
        incomplete=sum(not kernel["complete"] for kernel in heard),
        callbacks=max(kernel["callbacks"] for kernel in heard),
        astray=sum(not kernel["alike"] for kernel in heard),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__)
    parser.add_argument("--kernels", type=int, default=20)
    parser.add_argument("--submitters", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    with new_home() as home:
        outcome = run(home, STARTER, options.kernels, options.submitters, options.seconds)
    print(outcome)
    for error in sorted(set(outcome.errors)):
        print(f"  {error}")
    return int(not outcome.well)


if __name__ == "__main__":
    sys.exit(main())
