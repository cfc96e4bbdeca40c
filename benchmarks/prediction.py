"""How near predictions of memory come: to runs on this machine, to fresh traces, and to peaks that
others published; and what the formulas of other programs give for the latter.

No size that is compared was fitted, and of the batches five was not.
"""

from __future__ import annotations

import csv
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figure import Finding, deviation, duration, long_duration, memory
from benchmarks.statistics import summarize
from mysticanvas.contracts import conditioning
from mysticanvas.contracts.conditioning import Encoder
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.tracing import ImageProfile, Shape, TraceOrder, TraceReply
from mysticanvas.vram import envelope
from mysticanvas.vram.image import Surroundings, predict

MEAN_PERCENT, WORST_PERCENT, FRESH_PERCENT, PUBLISHED_PERCENT = 1.0, 3.0, 0.01, 1.0
CACHED_MS, FIRST_S, FIRST_MB = 1.0, 3.0, 1000.0
MIB = 1 << 20
CUBLAS_MIB = 8
_DATA = Path(__file__).parents[1] / "tests" / "data"
_SD, _SDXL = _DATA / "architectures" / "sd15", _DATA / "architectures" / "sdxl"
_HELD_OUT = ((32, 32), (48, 48), (64, 40), (64, 64), (96, 32))
"""Sides of the latents: 256 to 768 pixels."""
_MORE = (2, 2, 2, 5, 5)
"""Items for each of these sizes where there are several."""
_PROMPTS = (20, 40, 60)
"""Tokens of held-out prompts."""
_ENCODERS = {"CLIPTextModel": Encoder(conditioning.CLIP_TOKENS, hidden_states=False)} | {
    name: encoder
    for pipeline in ("StableDiffusion3Pipeline", "ZImagePipeline", "QwenImagePipeline")
    for name, encoder in conditioning.of(pipeline).encoders.items()
}
"""Class of a text encoder -> how a pipeline calls it."""
_T5 = {"num_layers": 3, "num_heads": 4, "d_kv": 32, "feed_forward_proj": "gated-gelu"}
_QWEN = {"vocab_size": 1000, "num_hidden_layers": 3, "num_attention_heads": 8,
         "num_key_value_heads": 2}  # fmt: skip


def measure() -> list[Finding]:
    """All figures; takes a few minutes."""
    answer, _ = _first(_SDXL)
    runs = list(_runs())
    real = [run.real for run in runs]
    worst = deviation("prediction.worst", "worst of them", [max(real, key=abs)], WORST_PERCENT)
    fresh = deviation("prediction.fresh", "against fresh traces, worst",
                      [max((run.fresh for run in runs), key=abs)], FRESH_PERCENT)  # fmt: skip
    return [
        deviation("prediction.real", "peaks against real runs, mean", real, MEAN_PERCENT),
        worst,
        fresh,
        *_published(),
        duration(
            "prediction.cached", "a prediction, once traced", summarize(_cached(answer)), CACHED_MS
        ),
        *_firsts(),
    ]


class _Run(NamedTuple):
    """Deviations as shares."""

    real: float
    fresh: float


def _runs() -> Iterator[_Run]:
    """Small models with random weights, with one item, and with two and five."""
    # Late: only these figures need a model library here.
    import torch

    from mysticanvas.workers.image import architectures, profiling

    order = TraceOrder(path="", dtype="float32")
    for name, config, batch in _models():
        library = "transformers" if name in _ENCODERS else "diffusers"
        tracee = architectures.build(library, name, config, torch.float32)
        kind = type(tracee.model)
        if library == "transformers":
            model = kind(kind.config_class.from_dict(dict(config)))
        else:
            model = kind.from_config(config)
        model.eval().requires_grad_(False)
        for call, fit, held_out in _calls(name, config, batch):
            traces = [(s, profiling.trace(order, tracee, s, call).operations) for s in fit]
            found = envelope.fit(traces)
            for shape in held_out:
                made = profiling.trace(order, tracee, shape, call).operations
                fresh = max(each.live + each.workspace for each in made)
                guess = envelope.peak(found, shape, torch.get_num_threads()).total
                actual = _profiled(call, model, shape)
                yield _Run(guess / actual - 1, guess / fresh - 1)


def _models() -> Iterator[tuple[str, dict[str, Any], Any]]:
    unet = {"layers_per_block": 1, "cross_attention_dim": 64}
    vae = {"layers_per_block": 1, "down_block_types": ["DownEncoderBlock2D"] * 4,
           "up_block_types": ["UpDecoderBlock2D"] * 4}  # fmt: skip
    text = {"num_hidden_layers": 3, "num_attention_heads": 4}
    for width in (192, 256):
        clip = text | {"hidden_size": width, "intermediate_size": 4 * width}
        yield "CLIPTextModel", clip, "one"
        yield "CLIPTextModelWithProjection", clip | {"projection_dim": width}, "one"
        yield "T5EncoderModel", _T5 | {"d_model": width, "d_ff": 2 * width}, "one"
        qwen = _QWEN | {"hidden_size": width, "intermediate_size": 3 * width}
        yield "Qwen3Model", qwen | {"head_dim": 32}, "one"
        yield "Qwen2_5_VLForConditionalGeneration", _sees(qwen, width), "one"
    for batch in ("one", "more"):
        for widths in ([32, 64, 128, 128], [64, 64, 128, 192]):
            yield "UNet2DConditionModel", unet | {"block_out_channels": widths}, batch
        for widths in ([32, 32, 64, 64], [32, 64, 64, 96]):
            yield "AutoencoderKL", vae | {"block_out_channels": widths}, batch


def _calls(
    name: str, config: dict[str, Any], batch: Any
) -> Iterator[tuple[Callable[..., Any], list[Shape], list[Shape]]]:
    """How a model is called, the shapes that are fitted, and those that are held out."""
    from mysticanvas.workers.image import architectures, profiling

    part = profiling.Part("", "", name, config)
    if name in _ENCODERS:
        encoder = _ENCODERS[name]
        run = profiling._text_run(part, encoder)
        yield run.call, run.shapes, [Shape(width=n + (encoder.template or 0)) for n in _PROMPTS]
        return
    items = [1] * len(_HELD_OUT) if batch == "one" else _MORE
    held_out = [
        Shape(batch=count, height=height, width=width)
        for count, (height, width) in zip(items, _HELD_OUT, strict=True)
    ]
    if name == "AutoencoderKL":
        calls: dict[Any, Callable[..., Any]] = {
            "vae_encode": architectures.encode_picture,
            "vae_decode": architectures.decode_picture,
        }
        for phase, call in calls.items():
            yield call, profiling._latent_shapes(part, phase, batch), held_out
    else:
        run = profiling._denoise_run(part, batch)
        tokens = {"tokens": profiling.TOKENS}
        yield run.call, run.shapes, [each.model_copy(update=tokens) for each in held_out]


def _sees(language: dict[str, Any], width: int) -> dict[str, Any]:
    """A model of language that sees, too."""
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1000000.0}
    sees = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
            "out_hidden_size": width, "fullatt_block_indexes": [0]}  # fmt: skip
    heads = {"num_attention_heads": width // 32, "rope_parameters": rope}
    return {"text_config": language | heads, "vision_config": sees}


def _profiled(call: Callable[..., Any], model: Any, shape: Shape) -> int:
    """Bytes that PyTorch's allocator has given out at once while the model runs."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    class Numbers(NamedTuple):
        model: Any

        def blank(self, *sides: int, dtype: Any = torch.float32) -> Any:
            return torch.zeros(sides, dtype=dtype)

    gc.collect()
    activities = [ProfilerActivity.CPU]
    with torch.inference_mode(), profile(activities=activities, profile_memory=True) as profiler:
        call(Numbers(model), shape)
    live = most = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most


class _Point(NamedTuple):
    """A published peak, and what each formula says of it; MiB."""

    actual: float
    ours: float
    comfyui: float
    invokeai: float | None
    forge: float


def _published() -> list[Finding]:
    points = list(_points())
    rows: list[tuple[str, str, float | None]] = [
        ("ours", "external: published RTX 4090 peaks", PUBLISHED_PERCENT),
        ("comfyui", "  ComfyUI's formulas on them", None),
        ("invokeai", "  InvokeAI's, autoencoder only", None),
        ("forge", "  Forge's", None),
    ]
    return [
        deviation(f"prediction.published.{name}", what, _shares(points, name), bar)
        for name, what, bar in rows
    ]


def _shares(points: Sequence[_Point], name: str) -> list[float]:
    given = [(getattr(point, name), point.actual) for point in points]
    return [guess / actual - 1 for guess, actual in given if guess is not None]


def _points() -> Iterator[_Point]:
    profiles = {dtype: _first(_SD, dtype)[0].profile for dtype in ("float16", "float32")}
    for row in _csv("published_vae_peaks.csv"):
        if "tiled" in row["operation"]:
            continue
        side, size = int(row["side_px"]), 4 if row["dtype"] == "float32" else 2
        decodes = row["operation"] == "decode"
        ours = _peak(profiles[row["dtype"]], f"vae_{row['operation']}", 1, side)
        # ComfyUI, comfy/sd.py; Forge, backend/patcher/vae.py; InvokeAI, vae_working_memory.py.
        comfyui = (2178 if decodes else 1767) * side**2 * size / MIB
        invokeai = (2200 if decodes else 1100) * side**2 * size / MIB + 250 * (size == 4)
        yield _Point(float(row["allocated_mb"]), ours, comfyui, invokeai, comfyui)
    unet = _first(_SDXL)[0].profile
    for row in _csv("published_unet_peaks.csv"):
        side = int(row["side_px"])
        area = 2 * (side // 8) ** 2
        ours = _peak(unet, "denoise", 2, side) + CUBLAS_MIB
        # ComfyUI, comfy/model_base.py, factor 0.8 for XL; Forge, backend/nn/unet.py.
        forge = 1.28 * area * 2 * 16384 / MIB
        yield _Point(float(row["allocated_mb"]), ours, area * 2 * 0.01 * 0.8, None, forge)


def _peak(profile: ImageProfile, phase: str, batch: int, side: int) -> float:
    [found] = [each.envelope for each in profile.traced if each.key.phase == phase]
    shape = Shape(batch=batch, width=side // 8, height=side // 8, tokens=77 * (batch - 1))
    return envelope.peak(found, shape).total / MIB


def _csv(name: str) -> list[dict[str, str]]:
    lines = (_DATA / "external" / name).read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def _cached(answer: Any) -> list[float]:
    times = []
    for side in range(256, 1280, 8):
        began = time.perf_counter()
        predict(answer.profile, ImageWork(width=side, height=768), Surroundings())
        times.append(time.perf_counter() - began)
    return times


def _firsts() -> list[Finding]:
    """A model that nobody has seen, in a fresh process."""
    runs = [_first(_SDXL) for _ in range(3)]
    answers = [answer for answer, _ in runs]
    sizes = [float(answer.peak_rss) for answer in answers]
    return [
        long_duration("prediction.first", "first of an SDXL, imports done",
                      summarize([answer.seconds for answer in answers]), FIRST_S),
        long_duration("prediction.first_process", "  with its process and imports",
                      summarize([seconds for _, seconds in runs])),
        memory("prediction.first_memory", "  most memory of the process",
               summarize(sizes), FIRST_MB),
    ]  # fmt: skip


def _first(folder: Path, dtype: Any = "float16") -> tuple[Any, float]:
    phases: Any = ("text_encode", "denoise", "vae_encode", "vae_decode")
    # As on the device of the published peaks.
    order = TraceOrder(
        path=str(folder), dtype=dtype, device="cuda", phases=phases, copies_input=False
    )
    module = "mysticanvas.workers.image.predictor"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, "--parent-pid", str(os.getpid())],
        input=order.model_dump_json() + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = TraceReply.model_validate(json.loads(done.stdout)).answer
    assert answer is not None, done.stdout
    return answer, time.perf_counter() - began
