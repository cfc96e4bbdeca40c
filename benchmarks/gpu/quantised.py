"""`python -m benchmarks.gpu.quantised`: Flux with its denoiser out of a GGUF file.

The file has blocks of the real width, fewer of them, and random numbers. For each number format
and way: the peak beside its prediction, and whether the pixels are those of the plain way; and
whether the weights take what was predicted. `--device cpu` rehearses it with a small model, which
says nothing of memory. The exit code tells whether all was as expected.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from benchmarks.gpu import forecast, models, subject, trial
from benchmarks.gpu.models import Component
from benchmarks.gpu.points import Point
from benchmarks.gpu.trial import MIB
from mysticanvas.contracts.mitigations import OFFLOADS
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.workers.image import devices, job, parts, profiling
from mysticanvas.workers.image.folder import Folder
from mysticanvas.workers.image.parts import Replaced

MODEL = "flux"
BLOCKS = {"num_layers": 4, "num_single_layers": 8}
"""Instead of 19 and 38: a fifth of the weights, and every shape that there is."""
_SCALE = {"Q8_0": 0.0003, "Q4_0": 0.005}
"""Of a block's numbers, for a spread near 0.02."""
_NAME = "transformer"


def main() -> None:
    """Run all, and print a line of JSON for each job."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.quantised", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--formats", nargs="+", choices=list(_SCALE), default=list(_SCALE))
    parser.add_argument("--side", type=int, default=1024)
    arguments = parser.parse_args()
    device = trial.device_as_workers_have_it(arguments.device)
    all_ok = True
    for kind in arguments.formats:
        with tempfile.TemporaryDirectory() as folder:
            for line in compare(kind, device, arguments.side, Path(folder)):
                all_ok &= line["ok"]
                print(json.dumps(line), flush=True)
    raise SystemExit(0 if all_ok else 1)


def compare(kind: str, device: torch.device, side: int, folder: Path) -> Iterator[dict[str, Any]]:
    """What jobs take with the denoiser in a number format: plain, by components, plain again.

    Args:
        kind: as gguf calls it.
        folder: an empty one.
    """
    dtype = subject.dtype_of(MODEL, device)
    base = models.write_folder(MODEL, folder / MODEL, dtype, device.type != "cuda")
    path = write_gguf(folder / f"{kind}.gguf", kind, denoiser(device))
    plain = Point(MODEL, side, side)
    profile = _profile(plain, base, path, device)
    model = _loaded(base, path, device)
    yield _weighed(kind, model, profile, trial.held(device))
    trial.run(model, plain)
    first = None
    for way in (plain, plain._replace(mitigations=OFFLOADS[:1]), plain):
        taken = trial.run(model, way)
        first = first or taken
        same = taken.pixels == first.pixels
        line = trial.line(way, taken, trial.predicted(profile, way, device), same)
        slower = round(taken.seconds / first.seconds, 2)
        yield line | {"point": f"{way.name} {kind}", "slowdown": slower}


def denoiser(device: torch.device) -> Component:
    """The transformer with fewer blocks; a small one on a CPU."""
    tiny = device.type != "cuda"
    [found] = [each for each in models.components(MODEL, tiny) if each.name == _NAME]
    return found if tiny else found._replace(config=found.config | BLOCKS)


def write_gguf(path: Path, kind: str, component: Component) -> Path:
    """A file of a transformer with random numbers: its matrices quantised, all else in float32."""
    random = np.random.default_rng(0)
    number_type = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[number_type]
    writer = gguf.GGUFWriter(path, MODEL)
    for name, tensor in component.build(torch.bfloat16).named_parameters():
        shape = tuple(tensor.shape)
        if len(shape) == 2 and shape[-1] % block == 0:
            rows = _blocks(random, (shape[0], shape[1] // block), size, _SCALE[kind])
            writer.add_tensor(name, rows, raw_dtype=number_type)
        else:
            numbers = random.standard_normal(shape, dtype=np.float32) * models.SPREAD
            writer.add_tensor(name, np.ones_like(numbers) if "norm" in name else numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _blocks(random: Any, count: tuple[int, int], size: int, scale: float) -> Any:
    """Rows of blocks: a scale in float16, and random bytes, whatever they mean."""
    made = random.integers(0, 256, (*count, size), dtype=np.uint8)
    made[..., :2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return made.reshape(count[0], count[1] * size)


def _loaded(base: Path, path: Path, device: torch.device) -> job.Model:
    """The model of random numbers, its denoiser from the file as a worker loads it."""
    model = trial.load(MODEL, device)
    dtype = subject.dtype_of(MODEL, device)
    found = parts.load(Replaced(unet=path), Folder(base), dtype)
    model.pipeline.register_modules(**{name: part.to(device) for name, part in found.items()})
    devices.release_memory(device)
    return model


def _profile(point: Point, base: Path, path: Path, device: torch.device) -> ImageProfile:
    copies = devices.copies_input(device)
    asked = trial.order(forecast.batches(point), device, base, copies, unet=str(path))
    return profiling.profile(asked).profile


def _weighed(
    kind: str, model: job.Model, profile: ImageProfile, held: int | None
) -> dict[str, Any]:
    """A line for what the weights take."""
    told = sum(profile.weights.values())
    has = sum(round(part.mib * MIB) for part in devices.weights(model.pipeline))
    found = {
        "point": f"weights {kind}",
        "ok": has == told,
        "offloads": profile.offloads,
        "denoiser_mib": round(profile.weights[_NAME] / MIB, 1),
        "predicted_bytes": told,
        "bytes": has,
    }
    if held is None:
        return found | {"left_out": "only a GPU tells what is given out"}
    # Blocks are multiples of 512 bytes, and convolutions were tried out.
    near = told <= held < told * 1.01 + 64 * MIB
    ok = has == told and near and profile.offloads == OFFLOADS[:1]
    return found | {"ok": ok, "given_out_bytes": held}


if __name__ == "__main__":
    main()
