"""`python -m benchmarks.gpu.session`: a canvas with all its processes, on a GPU.

Models of real shape with random weights are saved, drawn with, drawn with again and reproduced.
Then a foreign process takes memory, before a request is planned and while it is carried out; a
worker is killed; and models make room for one another. `--device cpu` rehearses it with small
models, and with a foreign process that takes next to nothing. The exit code tells whether all was
as expected.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import ambush, models, subject, tenants, trial
from benchmarks.gpu.foreign import Foreign
from benchmarks.gpu.steps import (
    ONLY_GPU,
    PROMPT,
    SEED,
    Line,
    Step,
    Surroundings,
    drawn,
    run,
    succeeded,
    used_mib,
)
from mysticanvas import Canvas
from mysticanvas.contracts.presets import ImagePreset

NEAR = 0.03
_SMALL_SIDE = 512
_SHARES = (0.75, 0.3)


def main() -> None:
    """Print a line of JSON for each step."""
    arguments = _arguments()
    device = torch.device(arguments.device)
    with tempfile.TemporaryDirectory() as name:
        foreign = Foreign(arguments.device)
        try:
            all_ok = _all(arguments, device, Path(name), foreign)
        finally:
            foreign.end()
            if arguments.logs:
                shutil.copytree(Path(name) / "home" / "logs", arguments.logs)
    raise SystemExit(0 if all_ok else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.session", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="sdxl")
    parser.add_argument("--other", default="sd15", help="a smaller model")
    parser.add_argument("--side", type=int, default=1536)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--shares", nargs="*", type=float, default=_SHARES, help="left of a plan")
    parser.add_argument("--logs", help="folder to copy the logs to")
    return parser.parse_args()


def _all(
    arguments: argparse.Namespace, device: torch.device, folder: Path, foreign: Foreign
) -> bool:
    names = (arguments.model, arguments.other)
    sides = (arguments.side, min(arguments.side, _SMALL_SIDE))
    large, small = (
        {
            "preset": name,
            "width": side,
            "height": side,
            "num_inference_steps": arguments.steps,
            "seed": SEED,
        }
        for name, side in zip(names, sides, strict=True)
    )
    saved = [save(name, device, folder / name) for name in names]
    home = folder / "home"
    with Canvas(home=home) as canvas:
        try:
            for name, path in zip(names, saved, strict=True):
                canvas.presets.image.save(ImagePreset(name=name, model=str(path)))
            around = Surroundings(canvas, large, small, foreign, device.type == "cuda")
            all_ok = run(_steps(around, arguments.shares))
        finally:
            canvas.shutdown(force=True)
    kept = Step(
        "not used",
        "the model leaves by itself, in words that say after how long",
        lambda: tenants.kept_alive(home, small),
    )
    all_ok &= run([kept])
    print(json.dumps({"step": "shut down", "device_used_mib": used_mib()}), flush=True)
    return all_ok


def save(name: str, device: torch.device, folder: Path) -> Path:
    """A model with random weights, as a diffusers folder."""
    dtype = subject.dtype_of(name, device)
    made = models.pipeline(name, device, dtype, tiny=device.type != "cuda")
    trial.lively(made)
    made.save_pretrained(folder, safe_serialization=True)
    del made
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return folder


def _steps(around: Surroundings, shares: list[float]) -> Iterator[Step]:
    yield from alone(around)
    if around.on_gpu:
        yield from crowded(around, shares)
    else:
        yield Step("crowded", "mitigations", lambda: {"ok": True, "left_out": ONLY_GPU})
    yield from ambush.steps(around)
    yield from tenants.steps(around)


def alone(around: Surroundings) -> Iterator[Step]:
    """What a canvas does with the device for itself."""
    pixels: list[Any] = []

    def draw() -> Line:
        told = drawn(around.canvas, around.large)
        pixels.append(told.get("pixels"))
        plain = succeeded(told) and not told["mitigations"] and len(set(pixels)) == 1
        sound = plain and told["levels"] > trial.FEWEST_LEVELS
        return told | {"ok": sound and all(map(_is_near, told["memory"]))}

    yield Step("first picture", "plain, with the memory that was predicted", draw)
    yield Step("second picture", "the same", draw)
    yield Step("reproduced", "the same pixels", lambda: _reproduced(around))
    yield Step("unloaded", "the memory of the weights is back", lambda: _unloaded(around))


def _is_near(row: dict[str, float]) -> bool:
    # What was not predicted is no number, and near nothing.
    return abs(row["projected_mib"] - row["actual_mib"]) <= NEAR * row["actual_mib"]


def _reproduced(around: Surroundings) -> Line:
    again = around.canvas.reproduce(around.canvas.images(limit=1)[0])
    return {"ok": again.matches, "max_abs_diff": again.max_abs_diff}


def _unloaded(around: Surroundings) -> Line:
    vram = around.canvas.vram
    parts = [part for each in vram.workers for part in each.parts]
    weights = sum(part.mib for part in parts if part.name.startswith("weights."))
    told = {"memory": repr(vram).splitlines()}
    before = used_mib()
    around.canvas.unload()
    after = used_mib()
    if before is None or after is None:
        return told | {"ok": weights > 0, "left_out": ONLY_GPU}
    return told | {
        "ok": 0 < 0.98 * weights <= before - after,
        "weights_mib": round(weights),
        "device_used_mib": [before, after],
    }


def crowded(around: Surroundings, shares: list[float]) -> Iterator[Step]:
    """The same request, with less and less of the device left before it is planned."""

    def draw(share: float) -> Line:
        # Where it was moved to for the one before, it is not to be found.
        around.canvas.unload()
        wished = {name: value for name, value in around.large.items() if name != "seed"}
        left = share * around.canvas.plan(PROMPT, **wished).total_mib
        with around.foreign.leaving(left):
            told = drawn(around.canvas, around.large)
        around.canvas.unload()
        helped = succeeded(told) and bool(told["mitigations"]) and bool(told["notices"])
        return told | {"ok": helped, "left_mib": round(left)}

    for share in shares:
        name, expected = f"crowded, {share:.0%} left", "planned with mitigations, which are told"
        yield Step(name, expected, functools.partial(draw, share))


if __name__ == "__main__":
    main()
