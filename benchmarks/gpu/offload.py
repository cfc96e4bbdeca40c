"""`python -m benchmarks.gpu.offload`: offloaded jobs beside plain ones, on models of real shapes.

For each way: whether the pixels are the same, the most that is given out beside its prediction, and
how many times as long it takes. `--device cpu` rehearses it with small models and real hooks, which
says nothing of memory. The exit code tells whether all was as expected.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, NamedTuple

import torch

from benchmarks.gpu import forecast, trial
from benchmarks.gpu.forecast import Batches
from benchmarks.gpu.points import Point
from benchmarks.gpu.trial import Taken
from mysticanvas.contracts.mitigations import OFFLOADS
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.workers.image import devices, job

_TILED = ("vae_tiling",)
_HEAVY = ("flux",)
"""Moving their weights once takes ten seconds: of their batches, one kind is enough."""
Profiles = Callable[[Point], ImageProfile]


class Subject(NamedTuple):
    """A model, and the points that it is run at."""

    name: str
    points: Sequence[Point]


def main() -> None:
    """Run what the arguments name, and print a line of JSON for each job."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.offload", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=["sd15", "sdxl", "flux"])
    parser.add_argument("--images", nargs="+", type=int, default=[1, 2], help="at once")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=100.0, help="no job begins after that")
    arguments = parser.parse_args()
    until = time.monotonic() + arguments.seconds
    device = trial.device_as_workers_have_it(arguments.device)
    subjects = [
        Subject(name, points(name, arguments.images, arguments.side)) for name in arguments.models
    ]
    wanted = forecast.wanted(point for each in subjects for point in each.points)
    context = multiprocessing.get_context("spawn")
    # A rehearsal has a core or two.
    at_once = min(len(wanted), 8 if device.type == "cuda" else 1)
    all_ok = True
    with ProcessPoolExecutor(at_once, mp_context=context) as pool:
        known = _traced(pool, wanted, device)
        for each in subjects:
            for line in compare(each, device, known, until):
                all_ok &= line["ok"]
                print(json.dumps(line), flush=True)
    raise SystemExit(0 if all_ok else 1)


def points(name: str, images: Sequence[int], side: int) -> list[Point]:
    """What a model is run at, in an order that moves its weights least: plain, in tiles, then
    offloaded, and plain again."""
    singles, batches = [n for n in images if n == 1], [n for n in images if n > 1]
    plain = [Point(name, side, side, n) for n in images]
    tiled = [Point(name, side, side, n, _TILED) for n in singles]
    offloaded = [Point(name, side, side, n, (kind,)) for n in singles for kind in OFFLOADS]
    kinds = ("offload_group",) if name in _HEAVY else OFFLOADS
    offloaded += [Point(name, side, side, n, (kind,)) for n in batches for kind in kinds]
    return [*plain, *tiled, *offloaded, *plain[:1]]


def compare(
    subject: Subject, device: torch.device, known: Profiles, until: float
) -> Iterator[dict[str, Any]]:
    """What each way to run a model's job takes and gives.

    Args:
        known: gives the profile with the envelopes for a point.
        until: on the monotonic clock, after which no job begins.
    """
    model = trial.load(subject.name, device)
    plain: dict[int, Taken] = {}
    for point in subject.points:
        if time.monotonic() > until:
            yield {"point": point.name, "ok": True, "left_out": "there was no time for it"}
            continue
        taken = _warm(model, point) if point.images not in plain else trial.run(model, point)
        first = plain.setdefault(point.images, taken)
        prediction = trial.predicted(known(point), point, device)
        same = None if point.mitigations == _TILED else taken.pixels == first.pixels
        slower = round(taken.seconds / first.seconds, 2)
        yield trial.line(point, taken, prediction, same) | {"slowdown": slower}


def _warm(model: job.Model, point: Point) -> Taken:
    """The second of two runs: the first loads kernels and looks for algorithms."""
    trial.run(model, point)
    return trial.run(model, point)


def _traced(pool: ProcessPoolExecutor, wanted: Sequence[Batches], device: torch.device) -> Profiles:
    """Profiles that are made in other processes meanwhile; nothing that is measured goes in."""
    copies, tiny = devices.copies_input(device), device.type != "cuda"
    # The largest are the last to be asked for, and take longest.
    made: dict[Batches, Future[ImageProfile]] = {
        each: pool.submit(trial.profile, each, device.type, tiny, copies)
        for each in reversed(wanted)
    }

    def known(point: Point) -> ImageProfile:
        return made[forecast.batches(point)].result()

    return known


if __name__ == "__main__":
    main()
