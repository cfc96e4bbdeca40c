"""`python -m benchmarks.gpu.adapted`: a LoRA on a model of real shape, plain and offloaded.

For each way: the peak beside its prediction, and whether the pixels are those of the plain way.
Then whether all is as before once it is off: the pixels, and the memory to the byte. `--device cpu`
rehearses it with a small model, which says nothing of memory. The exit code tells whether all was
as expected.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from benchmarks.gpu import forecast, models, subject, trial
from benchmarks.gpu.points import Point
from benchmarks.gpu.trial import Taken
from mysticanvas.contracts.mitigations import OFFLOADS, Offload, offload_of
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.workers.image import devices, job, offload, profiling
from mysticanvas.workers.image.adapters import Adapters, Lora

RANK, WEIGHT, SPREAD = 32, 0.8, 0.05
_DENOISERS = ("unet", "transformer")
_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "q_proj", "k_proj", "v_proj")
"""Ends of the names of layers that it changes, of denoisers and of CLIPs."""


def main() -> None:
    """Run all, and print a line of JSON for each job."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.adapted", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="sdxl")
    parser.add_argument("--side", type=int, default=1024)
    arguments = parser.parse_args()
    device = trial.device_as_workers_have_it(arguments.device)
    all_ok = True
    with tempfile.TemporaryDirectory() as folder:
        for line in compare(arguments.model, device, arguments.side, Path(folder)):
            all_ok &= line["ok"]
            print(json.dumps(line), flush=True)
    raise SystemExit(0 if all_ok else 1)


class _Subject(NamedTuple):
    """A model, its LoRA, and what is known of the model without it."""

    model: job.Model
    adapters: Adapters
    lora: Lora
    profile: ImageProfile
    """With the LoRA."""
    bare: Taken
    held: int | None
    """Bytes that are given out between two jobs."""


def compare(
    name: str,
    device: torch.device,
    side: int,
    folder: Path,
    kinds: Sequence[Offload] = OFFLOADS,
) -> Iterator[dict[str, Any]]:
    """What a LoRA takes and leaves behind in each way to run a model's job: plain, and offloaded.

    Args:
        folder: an empty one.
    """
    point = Point(name, side, side)
    path = write_lora(name, folder / "ink.safetensors", device)
    profiles = [_profile(point, folder / str(n), device, n * (path,)) for n in (0, 1)]
    model = trial.load(name, device)
    trial.run(model, point)
    bare = trial.run(model, point)
    yield trial.line(point, bare, trial.predicted(profiles[0], point, device), None)
    lora = Lora(path, hashlib.sha256(path.read_bytes()).hexdigest(), WEIGHT)
    adapters = Adapters(model.pipeline, subject.dtype_of(name, device))
    of = _Subject(model, adapters, lora, profiles[1], bare, trial.held(device))
    drawn = None
    for kind in (None, *kinds):
        way = point if kind is None else point._replace(mitigations=(kind,))
        line, taken = _with_it(of, way, drawn)
        yield line
        drawn = drawn or taken
        yield _without_it(of, way)


def _with_it(of: _Subject, point: Point, drawn: Taken | None) -> tuple[dict[str, Any], Taken]:
    """A line and the run of a job with the LoRA.

    Args:
        drawn: the plain one; None if it is this.
    """
    model = of.model
    # In the order of a worker.
    offload.place(model.pipeline, offload_of(point.mitigations), model.device)
    of.adapters.apply([of.lora])
    added = trial.held(model.device)
    taken = trial.run(model, point)
    changes = taken.pixels != of.bare.pixels
    line = trial.line(
        point,
        taken,
        trial.predicted(of.profile, point, model.device),
        changes and (drawn is None or taken.pixels == drawn.pixels),
    )
    line["point"] += " with a LoRA"
    line["lora_predicted_bytes"] = of.profile.lora_bytes
    if added is not None and of.held is not None and not point.mitigations:
        line["lora_bytes"] = added - of.held
        # Blocks are multiples of 512 bytes.
        line["ok"] &= of.profile.lora_bytes <= line["lora_bytes"] < 1.01 * of.profile.lora_bytes
    return line, taken


def _without_it(of: _Subject, point: Point) -> dict[str, Any]:
    """A line for the same job without the LoRA again, and for the memory behind it."""
    model = of.model
    of.adapters.apply([])
    taken = trial.run(model, point)
    offload.place(model.pipeline, None, model.device)
    held = trial.held(model.device)
    same = taken.pixels == of.bare.pixels
    told = {"point": f"{point.name} with the LoRA taken off", "same_pixels": same}
    if held is None or of.held is None:
        return told | {"ok": same, "left_out": "only a GPU tells what is given out"}
    more = held - of.held
    return told | {"ok": same and more == 0, "bytes_more_than_before": more}


def write_lora(name: str, path: Path, device: torch.device) -> Path:
    """A LoRA for a model of `models`, with random numbers, in the layout of diffusers."""
    tensors: dict[str, torch.Tensor] = {}
    dtype = subject.dtype_of(name, device)
    torch.manual_seed(1)
    for component in models.components(name, device.type != "cuda"):
        if component.name not in _DENOISERS and not component.kind.startswith("CLIP"):
            continue
        for module, layer in component.build(dtype).named_modules():
            if isinstance(layer, torch.nn.Linear) and module.endswith(_TARGETS):
                sides = {"A": (RANK, layer.in_features), "B": (layer.out_features, RANK)}
                for side, shape in sides.items():
                    numbers = (torch.randn(shape) * SPREAD).to(dtype)
                    tensors[f"{component.name}.{module}.lora_{side}.weight"] = numbers
    save_file(tensors, path)
    return path


def _profile(
    point: Point, folder: Path, device: torch.device, loras: tuple[Path, ...]
) -> ImageProfile:
    tiny = device.type != "cuda"
    dtype = subject.dtype_of(point.model, device)
    models.write_folder(point.model, folder, dtype, tiny)
    order = trial.order(
        forecast.batches(point),
        device,
        folder,
        devices.copies_input(device),
        loras=tuple(map(str, loras)),
    )
    return profiling.profile(order).profile


if __name__ == "__main__":
    main()
