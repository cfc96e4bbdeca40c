"""Measures the figures of the README, prints a table, writes them as JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog

import mysticanvas.orchestrator.lean  # noqa: F401  # the store is measured as the orchestrator has it
from benchmarks import (
    footprint,
    generate,
    imports,
    keeping,
    llm_memory,
    machine,
    opening,
    pages,
    prediction,
    recording,
    restart,
    roundtrip,
    search,
    start,
    thumbnails,
    workers,
)
from benchmarks.figure import Finding
from benchmarks.subject import STARTER

RESULTS = Path(__file__).with_name("results") / "latest.json"
IMAGES, FEWEST_IMAGES = 1_000_000, 10_000


class Subjects(NamedTuple):
    """What is measured with."""

    model: Path
    images: int
    """Pictures in the collection."""


Measure = Callable[[Subjects], Sequence[Finding]]


def _of_model(measure: Callable[[Path], Sequence[Finding]]) -> Measure:
    return lambda subjects: measure(subjects.model)


def _of_images(measure: Callable[[int], Sequence[Finding]]) -> Measure:
    return lambda subjects: measure(subjects.images)


PARTS: dict[str, Measure] = {
    "import": _of_model(imports.measure),
    "start": _of_model(start.measure),
    "generate": _of_model(generate.measure),
    "restart": _of_model(restart.measure),
    "roundtrip": _of_model(roundtrip.measure),
    "footprint": _of_model(footprint.measure),
    "pages": _of_images(pages.measure),
    "search": _of_images(search.measure),
    "recording": _of_images(recording.measure),
    "opening": _of_images(opening.measure),
    "keeping": _of_images(keeping.measure),
    "thumbnails": _of_model(thumbnails.measure),
    "workers": _of_model(workers.measure),
    "llm_memory": lambda _: llm_memory.measure(),
    "prediction": lambda _: prediction.measure(),
}


class Part(NamedTuple):
    """One part of a run, and how busy the machine was around it."""

    name: str
    before: machine.Load
    after: machine.Load
    findings: Sequence[Finding]

    def to_json(self) -> dict[str, Any]:
        return {
            "load_before": self.before._asdict(),
            "load_after": self.after._asdict(),
            "idle": self.before.idle and self.after.idle,
            "figures": [finding.to_json() for finding in self.findings],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 1 if a bar is missed."""
    options = _parser().parse_args(argv)
    # As an exception, so that whatever runs is stopped and tidied away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # What the store says while it is made does not belong among the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    subjects = Subjects(options.model.absolute(), options.images)
    parts = []
    # In this order: what recording adds, SQLite does not have, and search compares the two; and a
    # store that was restored has no index.
    for name in [name for name in PARTS if name in (options.parts or PARTS)]:
        print(f"measuring: {name} …", file=sys.stderr, flush=True)
        parts.append(_measure(name, subjects))
        print("\n".join(_rows(parts[-1])), flush=True)
    if not options.parts:
        _write(parts, subjects)
    return int(any(finding.met is False for part in parts for finding in part.findings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        choices=[*PARTS, []],
        metavar="PART",
        help=f"{', '.join(PARTS)}; all by default, and only then the JSON is written",
    )
    parser.add_argument(
        "--model", type=Path, default=STARTER, help="a diffusers folder (default: the starter)"
    )
    parser.add_argument(
        "--images",
        type=_count,
        default=IMAGES,
        help="pictures in the collection that the store is measured with (default: %(default)s); "
        "the first run makes them, which takes minutes for a million",
    )
    return parser


def _count(text: str) -> int:
    if (count := int(text)) < FEWEST_IMAGES:
        raise argparse.ArgumentTypeError(f"at least {FEWEST_IMAGES:,}")
    return count


def _measure(name: str, subjects: Subjects) -> Part:
    before = machine.load()
    findings = PARTS[name](subjects)
    return Part(name, before, machine.load(), findings)


def _rows(part: Part) -> list[str]:
    rows = [f"  {finding}" for finding in part.findings]
    if not (part.before.idle and part.after.idle):
        rows.append(
            f"  ! not an idle machine: {part.before.busy_percent:.0f} % busy before and "
            f"{part.after.busy_percent:.0f} % after, load {part.before.average_1min:.1f} and "
            f"{part.after.average_1min:.1f}; do not quote these"
        )
    return rows


def _write(parts: Sequence[Part], subjects: Subjects) -> None:
    document = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "model": "starter" if subjects.model == STARTER else subjects.model.name,
        "images": subjects.images,
        "parts": {part.name: part.to_json() for part in parts},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    print(f"written: {RESULTS}")


if __name__ == "__main__":
    sys.exit(main())
