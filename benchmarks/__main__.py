"""Measures the figures of the README, prints a table, writes them as JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import generate, imports, machine, restart, start
from benchmarks.figure import Figure
from benchmarks.subject import STARTER

RESULTS = Path(__file__).with_name("results") / "latest.json"
PARTS: dict[str, Callable[[Path], list[Figure]]] = {
    "import": imports.measure,
    "start": start.measure,
    "generate": generate.measure,
    "restart": restart.measure,
}


class Part(NamedTuple):
    """One part of a run, and how busy the machine was around it."""

    name: str
    before: machine.Load
    after: machine.Load
    figures: list[Figure]

    def to_json(self) -> dict[str, Any]:
        return {
            "load_before": self.before._asdict(),
            "load_after": self.after._asdict(),
            "idle": self.before.idle and self.after.idle,
            "figures": [figure.to_json() for figure in self.figures],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 1 if a bar is missed."""
    options = _parser().parse_args(argv)
    # As an exception, so that whatever runs is stopped and tidied away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parts = []
    for name in options.parts or PARTS:
        print(f"measuring: {name} …", file=sys.stderr, flush=True)
        parts.append(_measure(name, options.model.absolute()))
        print("\n".join(_rows(parts[-1])), flush=True)
    if not options.parts:
        _write(parts, options.model)
    return int(any(figure.met is False for part in parts for figure in part.figures))


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
    return parser


def _measure(name: str, model: Path) -> Part:
    before = machine.load()
    figures = PARTS[name](model)
    return Part(name, before, machine.load(), figures)


def _rows(part: Part) -> list[str]:
    rows = [_row(figure) for figure in part.figures]
    if not (part.before.idle and part.after.idle):
        rows.append(
            f"  ! not an idle machine: {part.before.busy_percent:.0f} % busy before and "
            f"{part.after.busy_percent:.0f} % after, load {part.before.average_1min:.1f} and "
            f"{part.after.average_1min:.1f}; do not quote these"
        )
    return rows


def _row(figure: Figure) -> str:
    spread = f"{_value(figure.low, figure.unit)} … {_value(figure.high, figure.unit)}"
    bar = ""
    if figure.bar is not None:
        sign = "≥" if figure.unit == "times" else "≤"
        verdict = "met" if figure.met else "MISSED"
        bar = f"{sign} {_value(figure.bar, figure.unit)}  {verdict}"
    value = _value(figure.value, figure.unit)
    return f"  {figure.what:36}{value:>10}  ({spread}, n = {figure.n})".ljust(80) + bar


def _value(value: float, unit: str) -> str:
    return f"{value:.1f} ×" if unit == "times" else f"{value:.0f} ms"


def _write(parts: Sequence[Part], model: Path) -> None:
    document = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "model": "starter" if model == STARTER else model.name,
        "parts": {part.name: part.to_json() for part in parts},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    print(f"written: {RESULTS}")


if __name__ == "__main__":
    sys.exit(main())
