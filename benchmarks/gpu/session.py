"""`python -m benchmarks.gpu.session`: a canvas with all its processes, on a GPU.

A model of real shape with random weights is saved, drawn with, drawn with again and reproduced.
Then a foreign process takes memory, more and more of it, and the same request is made: what was
planned, what was done, what was predicted and what was taken. `--device cpu` rehearses it with a
small model, and without the foreign process.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import models, nvml, subject
from mysticanvas import Canvas, DoesNotFit, MystiCanvasError
from mysticanvas.session.image import Image

MIB = 1 << 20
PROMPT, SEED = "a red circle above a blue square", 7
_HOLD = """
import sys, torch
held = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()
"""


def main() -> None:
    """Print a line of JSON for each step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.session", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="sdxl")
    parser.add_argument("--side", type=int, default=1536)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--logs", help="folder to copy the logs to")
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    with tempfile.TemporaryDirectory() as name:
        folder = save(arguments.model, torch.device(arguments.device), Path(name) / "model")
        keywords = {
            "preset": str(folder),
            "width": arguments.side,
            "height": arguments.side,
            "num_inference_steps": arguments.steps,
            "seed": SEED,
        }
        with Canvas(home=Path(name) / "home") as canvas:
            try:
                for line in alone(canvas, keywords):
                    print(json.dumps(line), flush=True)
                if on_gpu:
                    for line in crowded(canvas, keywords):
                        print(json.dumps(line), flush=True)
            finally:
                if arguments.logs:
                    shutil.copytree(Path(name) / "home" / "logs", arguments.logs)
                canvas.shutdown(force=True)
        print(json.dumps({"step": "shut down", "device_used_mib": _used_mib()}), flush=True)


def save(name: str, device: torch.device, folder: Path) -> Path:
    """A model with random weights, as a diffusers folder."""
    dtype = subject.dtype_of(name, device)
    made = models.pipeline(name, device, dtype, tiny=device.type != "cuda")
    made.save_pretrained(folder, safe_serialization=True)
    del made
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return folder


def alone(canvas: Canvas, keywords: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a canvas does with the device for itself."""
    for step in ("first picture", "second picture"):
        yield {"step": step, **_drawn(canvas, keywords)}
    image = canvas.images(limit=1)[0]
    again = canvas.reproduce(image)
    yield {"step": "reproduced", "matches": again.matches, "max_abs_diff": again.max_abs_diff}
    yield {"step": "memory", "vram": repr(canvas.vram).splitlines()}
    before = _used_mib()
    canvas.unload()
    yield {"step": "unloaded", "device_used_mib": [before, _used_mib()]}


def crowded(canvas: Canvas, keywords: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same request, with less and less of the device left."""
    plain = canvas.plan(PROMPT, **_without_seed(keywords))
    free = canvas.vram.device.free_mib
    for share in (0.9, 0.75, 0.6, 0.45, 0.3, 0.1):
        left = share * plain.total_mib
        with holding(free - left):
            yield {"step": "crowded", "left_mib": round(left), **_drawn(canvas, keywords)}
            # Where it was moved to for this, it is not to be found by the next.
            canvas.unload()


@contextmanager
def holding(mib: float) -> Iterator[None]:
    """A foreign process that has so much of the device, its context included in what is left."""
    command = [sys.executable, "-c", _HOLD, str(round(mib * MIB))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def _drawn(canvas: Canvas, keywords: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    try:
        job = canvas.submit(PROMPT, **keywords)
        image: Image = job.result()
    except DoesNotFit as refusal:
        return {"refused": str(refusal), "suggestion": refusal.suggestion}
    except MystiCanvasError as error:
        return {"failed": error.code, "why": str(error)}
    taken = canvas.vram.history(limit=20)
    mine = taken[taken["job"] == job.id].to_dict("records")
    return {
        "seconds": round(time.monotonic() - began, 2),
        "mitigations": list(image.recipe.mitigations),
        "notices": list(canvas.job(job.id).notices),
        "pixels": image.pixels_sha256[:12],
        "memory": [{name: row[name] for name in ("projected_mib", "actual_mib")} for row in mine],
        "device": image.recipe.environment.device if image.recipe.environment else None,
    }


def _without_seed(keywords: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if name != "seed"}


def _used_mib() -> float | None:
    used = nvml.used()
    return None if used is None else round(used / MIB)


if __name__ == "__main__":
    main()
