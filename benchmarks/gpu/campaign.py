"""A run from probes to the last point: predictions are written down before anything is measured."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu import forecast, nvml, probing, verdict
from benchmarks.gpu.fleet import Answer, Order, at_once, one_by_one
from benchmarks.gpu.forecast import Batches, Forecast
from benchmarks.gpu.points import SETTINGS, Plan, Point, grows
from benchmarks.gpu.verdict import Guess, Seen
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.vram.image import Surroundings

PROFILE_S, RESERVE_S, POINT_S, BACK_S = 90.0, 90.0, 60.0, 10.0
POINT_LIKELY_S = 8.0
"""What a point is taken to last when it is asked whether there is time for one."""
_SLACK = 32 << 20
_DISTRIBUTIONS = ("torch", "diffusers", "transformers", "accelerate", "numpy")


class Options(NamedTuple):
    """How a run goes."""

    device: str
    tiny: bool
    until: float
    """No point begins after that, on the monotonic clock."""
    ahead: int
    threads: int


class Campaign:
    """A run of a plan.

    Args:
        folder: where predictions and results are written.
    """

    def __init__(self, plan: Plan, options: Options, folder: Path) -> None:
        self._plan, self._options, self._folder = plan, options, folder
        self._points = plan.points
        self._probes: dict[str, Any] = {}
        self._profiles: dict[str, ImageProfile] = {}
        self._guesses: dict[Point, Guess] = {}
        self._around = Surroundings()
        self._answers: dict[Point, Answer] = {}
        self._back: dict[Point, float | None] = {}
        self._attention: dict[str, Any] = {}
        self._problems: list[str] = []

    def run(self) -> None:
        """Probe, predict, write the predictions down, measure."""
        self._prepare()
        self._predict()
        self._measure()

    def _prepare(self) -> None:
        """Probe the device, then profile the models for it on the CPU."""
        if self._on_gpu:
            _tell("probing the device")
            self._probes = probing.device(self._options.threads)
        wanted = forecast.wanted(self._points)
        orders = [self._profiling(each) for each in wanted]
        # The rehearsal has a core or two.
        answers = list(at_once(orders, len(orders) if self._on_gpu else self._options.ahead))
        found = {}
        for batches, answer in zip(wanted, answers, strict=True):
            if "answer" in answer:
                found[batches] = ImageProfile.model_validate(answer["answer"])
            else:
                self._problems.append(f"profile of {batches}: {answer['error']}")
        self._profiles = forecast.merged(found)

    def _predict(self) -> None:
        probes = self._probes
        context = (probes.get("context") or 0) + (probes.get("libraries_outside") or 0)
        self._around = Surroundings(
            context_bytes=max(0, context),
            context_known="probed" if self._on_gpu else "assumed",
            workspace_bytes=max(0, probes.get("workspace") or 0),
            threads=self._options.threads,
        )
        made: dict[Point, Forecast] = {}
        for point in self._points:
            try:
                profile = self._profiles[point.model]
                made[point] = forecast.forecast(profile, point, self._around)
            except LookupError as error:
                self._problems.append(f"prediction of {point.name}: {error}")
        reserved = self._reserved(list(made))
        for point, found in made.items():
            kept = reserved.get(point)
            device = None if kept is None else kept + self._around.context_bytes
            self._guesses[point] = Guess(found, kept, device)
        self._write_predictions()

    def _reserved(self, points: Sequence[Point]) -> dict[Point, int]:
        """What the allocator is predicted to reserve."""
        if not self._on_gpu:
            return {}
        _tell("playing the allocator")
        orders = [
            Order(
                {
                    "kind": "reserve",
                    "point": list(point),
                    "weights": self._profiles[point.model].weights,
                    "workspace": self._around.workspace_bytes,
                    "copies_input": self._copies_input,
                    "tiny": self._options.tiny,
                },
                RESERVE_S,
            )
            for point in sorted(points)
        ]
        found = {}
        for point, answer in zip(
            sorted(points), at_once(orders, 2 * self._options.ahead), strict=True
        ):
            if "answer" in answer:
                found[point] = answer["answer"]["reserved"]
            else:
                self._problems.append(f"reserve of {point.name}: {answer['error']}")
        return found

    def _measure(self) -> None:
        for point in self._points:
            if not self._fits(point):
                needed, room = self._needed(point) or 0, self._room or 0
                _tell(
                    f"{point.name}: left out, since it is predicted to take "
                    f"{needed / forecast.MIB:,.0f} MiB, and there are {room / forecast.MIB:,.0f}"
                )
        orders = list(self._orders())
        done = 0
        before = nvml.used()
        goes_on = self._has_time
        for order, answer, _ in one_by_one(
            orders, self._options.ahead, self._options.threads, goes_on
        ):
            done += 1
            if answer is None:
                continue
            back = self._wait_for(before)
            if order.content["kind"] == "attention":
                self._attention[order.content["model"]] = answer.get("answer", answer)
                _tell(f"[{done}/{len(orders)}] attention of {order.content['model']}")
                continue
            point = Point.from_json(order.content["point"])
            self._answers[point], self._back[point] = answer, back
            _tell(f"[{done}/{len(orders)}] {self._line(point)}")

    def _wait_for(self, before: int | None) -> float | None:
        """Milliseconds until the device has its memory back; None if nobody can tell."""
        if before is None:
            return None
        began = time.monotonic()
        while (used := nvml.used()) is not None and used > before + _SLACK:
            if time.monotonic() - began > BACK_S:
                self._problems.append(f"the device lacks {used - before} bytes for good")
                return None
            time.sleep(0.005)
        return (time.monotonic() - began) * 1e3

    def _has_time(self, order: Order) -> bool:  # noqa: ARG002
        return time.monotonic() + POINT_LIKELY_S < self._options.until

    def _fits(self, point: Point) -> bool:
        """Whether the device has as much as is predicted, as far as both are known."""
        room, needed = self._room, self._needed(point)
        return room is None or needed is None or needed <= room

    def _needed(self, point: Point) -> int | None:
        """Bytes of the device that a point is predicted to take."""
        guess = self._guesses.get(point)
        if guess is None:
            return None
        return guess.made.total if guess.device is None else guess.device

    @property
    def _room(self) -> int | None:
        """Bytes of the device that nobody else has."""
        total = (self._probes.get("first") or {}).get("total")
        return None if total is None else total - (self._probes.get("foreign") or 0)

    def _orders(self) -> Iterable[Order]:
        points = [point for point in self._points if self._fits(point)]
        models = list(dict.fromkeys(point.model for point in points))
        common = {"device": self._options.device, "tiny": self._options.tiny}
        for place, point in enumerate(points):
            if place == min(len(self._plan.fitted & {*points}), len(points) - 1):
                for model in models:
                    yield Order({"kind": "attention", "model": model, **common}, POINT_S)
            yield Order(
                {"kind": "measure", "point": list(point), **common},
                POINT_S,
                SETTINGS[point.segments],
            )

    def _profiling(self, batches: Batches) -> Order:
        return Order(
            {
                "kind": "profile",
                **batches._asdict(),
                "device": self._options.device,
                "tiny": self._options.tiny,
                "copies_input": self._copies_input,
            },
            PROFILE_S,
        )

    @property
    def _fitted(self) -> list[Point]:
        """In the order of their turns."""
        return [point for point in self._points if point in self._plan.fitted]

    @property
    def _copies_input(self) -> bool:
        return bool(self._probes.get("copies_input", True))

    @property
    def _on_gpu(self) -> bool:
        return self._options.device == "cuda"

    def _write_predictions(self) -> None:
        document = {
            "at": _now(),
            "versions": versions(),
            "probed": self._around.model_dump(),
            "fitted": sorted(point.name for point in self._plan.fitted),
            "predictions": [
                {"name": point.name, "group": self._plan.group(point), **_guess_json(guess)}
                for point, guess in self._guesses.items()
            ],
            "problems": self._problems,
        }
        path = self._folder / "predictions.json"
        path.write_text(json.dumps(document, indent=1) + "\n")
        _tell(f"written before any measurement: {path.name}, {len(self._guesses)} points")

    def _line(self, point: Point) -> str:
        answer, guess = self._answers[point], self._guesses.get(point)
        if "answer" not in answer:
            return f"{point.name}: {answer['error'][:200]}"
        found = verdict.seen(answer["answer"], self._probes.get("foreign"), point.on_cpu)
        text = f"{point.name}: {found.allocated / forecast.MIB:,.0f} MiB"
        if guess is not None:
            off = verdict.deviation(guess.made.allocated, found.allocated) or 0.0
            text += f", predicted {guess.made.allocated / forecast.MIB:,.0f} ({off:+.2f} %)"
        if found.reserved is not None and found.device is not None:
            text += f"; reserved {found.reserved / forecast.MIB:,.0f}"
            text += f", device {found.device / forecast.MIB:,.0f}"
        return f"{text}; {answer['seconds']:.1f} s"

    def results(self, seconds: float) -> dict[str, Any]:
        """All that is known by now."""
        foreign = self._probes.get("foreign")
        measured = {
            point: verdict.seen(answer["answer"], foreign, point.on_cpu)
            for point, answer in self._answers.items()
            if "answer" in answer
        }
        calibrations = verdict.corrections(self._guesses, measured, self._fitted)
        rows = [
            self._row(point, answer, measured.get(point), calibrations)
            for point, answer in self._answers.items()
        ]
        first = self._probes.get("first") or {}
        return {
            "at": _now(),
            "seconds": seconds,
            "device": {
                "name": first.get("device", platform.machine()),
                **{name: first.get(name) for name in ("capability", "total", "worker_view")},
            },
            "versions": versions()
            | (first.get("versions") or {})
            | {"driver": self._probes.get("nvml_driver")},
            "probes": self._probes,
            "worker_segments_grow": grows("worker"),
            "attention": self._attention,
            "calibration": {
                f"{model} {phase}": found._asdict()
                for (model, phase), found in calibrations.items()
            },
            "summary": _summaries(rows),
            "rows": rows,
            "too_large": [each.name for each in self._points if not self._fits(each)],
            "not_measured": [
                each.name for each in self._points if each not in self._answers and self._fits(each)
            ],
            "problems": self._problems,
        }

    def _row(
        self, point: Point, answer: Answer, found: Seen | None, calibrations: Mapping[Any, Any]
    ) -> dict[str, Any]:
        made: dict[str, Any] = {
            "name": point.name,
            "model": point.model,
            "group": self._plan.group(point),
            "seconds": answer.get("seconds", 0.0),
            "back_ms": self._back.get(point),
        }
        guess = self._guesses.get(point)
        if found is None:
            return made | {"error": answer["error"], "answer": answer}
        made |= {
            "measured": {**found._asdict(), "allocated": found.allocated},
            "answer": answer["answer"],
        }
        if guess is None:
            return made | {"error": "not predicted"}
        better = verdict.corrected(self._profiles[point.model], point, self._around, calibrations)
        return made | {
            "predicted": _guess_json(guess),
            "corrected": better.allocated,
            "deviations": verdict.row(guess, found, better),
        }


def versions() -> dict[str, str]:
    """Of what is measured and of what it runs on."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _summaries(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the points that were held out: each model, and all."""
    known = [each for each in rows if each["group"] == "held out" and "deviations" in each]
    models = list(dict.fromkeys(each["model"] for each in known))
    found = {
        model: verdict.summary([each["deviations"] for each in known if each["model"] == model])
        for model in models
    }
    return found | {"all": verdict.summary([each["deviations"] for each in known])}


def _guess_json(guess: Guess) -> dict[str, Any]:
    return {**guess.made._asdict(), "reserved": guess.reserved, "device": guess.device}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
