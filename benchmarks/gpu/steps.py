"""Steps of a session: each is told as a line of JSON, and none keeps the others from running."""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gpu import nvml
from benchmarks.gpu.foreign import Foreign
from benchmarks.gpu.meter import waited
from mysticanvas import Canvas, DoesNotFit, MystiCanvasError
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.plan import MadeRoom
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.logs.story import Story
from mysticanvas.session.image import Image
from mysticanvas.session.job import Job

MIB = 1 << 20
PROMPT, SEED = "a red circle above a blue square", 7
LIMIT_S, BACK_S, TOLD_S = 120.0, 10.0, 0.3
SLACK_MIB = 128
"""By which contexts of the same programs differ."""
ONLY_GPU = "only a GPU shows it"
_TOLD = ("warning", "error", "critical")
Line = dict[str, Any]


class Step(NamedTuple):
    """What is done, and what should come of it."""

    name: str
    expected: str
    act: Callable[[], Line]
    """Gives a line with `ok` in it."""


class Surroundings(NamedTuple):
    """What steps work with."""

    canvas: Canvas
    large: dict[str, Any]
    """Keywords of a picture that takes most."""
    small: dict[str, Any]
    """Those of another model."""
    foreign: Foreign
    on_gpu: bool


def run(steps: Iterable[Step]) -> bool:
    """Do all of them, one after another; whether all were as expected."""
    all_ok = True
    for step in steps:
        began = time.monotonic()
        try:
            found = step.act()
        except Exception as error:  # noqa: BLE001  # a line of the result, whatever it is
            traceback.print_exc()
            found = {"ok": False, "error": f"{type(error).__name__}: {error}"[:600]}
        all_ok &= bool(found["ok"])
        took = round(time.monotonic() - began, 1)
        head = {"step": step.name, "ok": found.pop("ok"), "took_s": took}
        print(json.dumps({**head, "expected": step.expected, **found}), flush=True)
    return all_ok


class Watched:
    """The steps of a job as they are told, and something that is done at the first one.

    Args:
        at_first: called beside the job, once it has begun to sample.
    """

    def __init__(self, job: Job[Any], at_first: Callable[[], Line] | None = None) -> None:
        self.denoised: list[int] = []
        """Numbers of the steps of sampling that were told."""
        self.done: Line = {}
        self._job, self._at_first = job, at_first
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the last of it."""
        self._thread.join(TOLD_S)

    @property
    def sampled_again(self) -> bool:
        """Whether it went back to an earlier step."""
        return any(a > b for a, b in zip(self.denoised, self.denoised[1:], strict=False))

    def _watch(self) -> None:
        for event in self._job.events():
            if event.type != "progress" or event.data.get("stage") != "denoise":
                continue
            step = event.data.get("step", 0)
            self.denoised.append(step)
            if step and self._at_first is not None:
                at_first, self._at_first = self._at_first, None
                self.done = {"at_step": step, **self._tried(at_first)}

    @staticmethod
    def _tried(at_first: Callable[[], Line]) -> Line:
        try:
            return at_first()
        except Exception as error:  # noqa: BLE001  # it is told with the job
            return {"error_at_step": f"{type(error).__name__}: {error}"[:300]}


def drawn(
    canvas: Canvas, keywords: dict[str, Any], at_first: Callable[[], Line] | None = None
) -> Line:
    """Make a picture; how, and with which words.

    Args:
        at_first: called once the job has begun to sample.
    """
    heard: list[str] = []

    def hear(event: object) -> None:
        if isinstance(event, Alert | MadeRoom | Unloaded):
            heard.append(f"{type(event).__name__}: {event}")

    began = time.monotonic()
    with canvas.on("vram", hear), canvas.on("alert", hear):
        job = canvas.submit(PROMPT, **keywords)
        watched = Watched(job, at_first)
        told: Line = {"refused": None, "failed": None}
        try:
            told |= _of_image(job.result(LIMIT_S))
        except DoesNotFit as refusal:
            told |= {"refused": str(refusal), "suggestion": refusal.suggestion}
        except MystiCanvasError as error:
            told |= {"failed": error.code, "why": str(error)}
        told["seconds"] = round(time.monotonic() - began, 2)
        watched.join()
        # What is told behind the end.
        time.sleep(TOLD_S)
    told |= watched.done
    return told | {
        "sampled_again": watched.sampled_again,
        "attempts": job.attempts,
        "failures": job.failures,
        "notices": job.notices,
        "heard": heard,
        **_of_log(canvas, job),
        **_of_memory(canvas, job),
    }


def succeeded(told: Line) -> bool:
    """Whether a picture came of it."""
    return "pixels" in told


def _of_image(image: Image) -> Line:
    recipe = image.recipe
    return {
        "pixels": image.pixels_sha256[:12],
        "mitigations": list(recipe.mitigations),
        "levels": len(np.unique(image.numpy())),
        "device": recipe.environment.device if recipe.environment else None,
    }


def _of_log(canvas: Canvas, job: Job[Any]) -> Line:
    """What went wrong by the log, and seconds by the worker's clock."""
    entries = [each.members for each in Story("job", job.id).read(canvas.home / "logs")]
    warned = [
        " ".join([each["event"], *([each["stage"]] if "stage" in each else [])])
        for each in entries
        if each["level"] in _TOLD
    ]
    ends = [each for each in entries if each["event"] == "job_succeeded"]
    seconds = (ends[-1].get("seconds") or {}) if ends else {}
    return {"log": warned, "stages_s": {name: round(each, 2) for name, each in seconds.items()}}


def _of_memory(canvas: Canvas, job: Job[Any]) -> Line:
    taken = canvas.vram.history(limit=20)
    mine = taken[taken["job"] == job.id].to_dict("records") if len(taken) else []
    names = ("projected_mib", "actual_mib")
    return {"memory": [{name: round(row[name], 1) for name in names} for row in mine]}


def used_mib() -> int | None:
    """MiB of the device that are in use, whoever has them."""
    used = nvml.used()
    return None if used is None else round(used / MIB)


def given_back(before_mib: int | None) -> Line:
    """Whether the device has its memory back.

    Args:
        before_mib: what was in use before; None where nobody tells.
    """
    if before_mib is None:
        return {"ok": True, "given_back": ONLY_GPU}

    def is_back() -> bool:
        used = used_mib()
        return used is not None and used <= before_mib + SLACK_MIB

    took = waited(is_back, BACK_S)
    return {"ok": took is not None, "device_used_mib": [before_mib, used_mib()]}


def says(words: Sequence[str], texts: Iterable[str]) -> bool:
    """Whether one of these texts has all the words."""
    return any(all(word in text for word in words) for text in texts)
