"""Models by their configurations: as trees of files without weights, and with random weights."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from mysticanvas.contracts.tracing import Envelope, Shape, TraceOrder
from mysticanvas.vram import envelope
from mysticanvas.vram.envelope import Operation
from mysticanvas.workers.image import architectures, profiling
from mysticanvas.workers.image.architectures import Tracee

REAL = Path(__file__).parent / "data" / "architectures"
"""Diffusers folders of Stable Diffusion 1.5 and XL, their configurations alone."""

_ENCODERS = ("DownEncoderBlock2D",) * 4
_DECODERS = ("UpDecoderBlock2D",) * 4
SMALL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unet": (
        "diffusers",
        "UNet2DConditionModel",
        {
            "block_out_channels": (32, 64, 128, 128),
            "layers_per_block": 1,
            "cross_attention_dim": 64,
        },
    ),
    "wide unet": (
        "diffusers",
        "UNet2DConditionModel",
        {
            "block_out_channels": (64, 128, 256),
            "layers_per_block": 1,
            "cross_attention_dim": 64,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": [1, 1, 3],
            "use_linear_projection": True,
        },
    ),
    "vae": (
        "diffusers",
        "AutoencoderKL",
        {
            "block_out_channels": (32, 64, 64, 64),
            "down_block_types": _ENCODERS,
            "up_block_types": _DECODERS,
            "layers_per_block": 1,
        },
    ),
    "text encoder": (
        "transformers",
        "CLIPTextModel",
        {
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
        },
    ),
}
"""Name -> library, class and configuration of models that run in a moment."""


class Real(Tracee):
    """A model with random weights, called with real numbers."""

    __slots__ = ()

    def blank(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype or self.dtype)


def traced(name: str) -> Tracee:
    """A small model without weights."""
    return architectures.build(*SMALL[name], torch.float32)


def real(name: str) -> Real:
    """The same with random weights."""
    library, kind, config = SMALL[name]
    cls = architectures._class_of(library, kind)
    made = cls(cls.config_class(**config)) if library == "transformers" else cls(**config)
    return Real(made.eval().requires_grad_(False), torch.float32)


def operations(tracee: Tracee, shape: Shape, call: Callable[..., Any]) -> list[Operation]:
    """A fresh trace on the CPU."""
    return profiling.trace(order("cpu", "float32"), tracee, shape, call).operations


def fitted(tracee: Tracee, shapes: Sequence[Shape], call: Callable[..., Any]) -> Envelope:
    """An envelope of those shapes."""
    return envelope.fit([(each, operations(tracee, each, call)) for each in shapes])


def order(device: Any, dtype: Any, folder: Path = REAL) -> TraceOrder:
    """An order for a device, of everything that a picture needs."""
    phases: Any = ("text_encode", "denoise", "vae_encode", "vae_decode")
    # As on the device of the published peaks.
    return TraceOrder(
        path=str(folder), dtype=dtype, device=device, phases=phases, copies_input=False
    )


def profiled_peak(work: Callable[[], Any]) -> int:
    """Bytes that PyTorch's allocator has given out at once while it runs."""
    gc.collect()
    with (
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        result = work()
        del result
    live = most = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most
