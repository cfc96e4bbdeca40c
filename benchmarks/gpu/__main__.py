"""Holds predictions of GPU memory against measurements: `python -m benchmarks.gpu --out FOLDER`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.campaign import Campaign, Options
from benchmarks.gpu.points import PIPELINES, Plan, full, rehearsal
from benchmarks.gpu.table import markdown

AHEAD, THREADS = 6, 8
SECONDS = 330.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 1 if nothing could be."""
    began = time.monotonic()
    given = _parser().parse_args(argv)
    # As an exception, so that whatever runs is stopped and what is known is written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    given.out.mkdir(parents=True, exist_ok=True)
    options = Options(
        device=given.device,
        tiny=given.device == "cpu",
        until=began + given.seconds,
        ahead=given.ahead,
        threads=given.threads,
    )
    campaign = Campaign(_plan(given), options, given.out)
    try:
        campaign.run()
    finally:
        results = campaign.results(time.monotonic() - began)
        (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (given.out / "table.md").write_text(markdown(results))
    print(markdown(results), flush=True)
    return int(not any("measured" in each for each in results["rows"]))


def _plan(given: argparse.Namespace) -> Plan:
    plan = full() if given.device == "cuda" else rehearsal()
    points = tuple(point for point in plan.points if point.model in given.models)
    return plan._replace(points=points[: given.points])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for what is found")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="after which no point is begun (%(default)s)"
    )
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="cpu: a rehearsal with small models, without what a GPU alone can show",
    )
    parser.add_argument(
        "--models", nargs="+", choices=[*PIPELINES], default=[*PIPELINES], help="which (all)"
    )
    parser.add_argument("--points", type=int, help="how many, from the first on (all)")
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--ahead",
        type=int,
        default=max(1, min(AHEAD, cores - 1)),
        help="processes that import ahead (%(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, default=min(THREADS, cores), help="of the CPU (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
