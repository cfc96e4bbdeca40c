"""What every training stage shares: folders, seeds, checkpoints and the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HERE = Path(__file__).parent
TRAINING = Path(
    os.environ.get("MYSTICANVAS_TRAINING", "~/.cache/mysticanvas/starter-training")
).expanduser()
"""Checkpoints and cached latents, outside the checkout: they outlive it."""
MODEL = HERE / "model"

TEXT_WIDTH = 128
TEXT_LENGTH = 40
LATENT_CHANNELS = 8
FACTOR = 8
SIZE = 128


class Clock:
    """Counts a stage's minutes of processor time, so that being stopped or crowded out costs no
    learning."""

    def __init__(self, minutes: float) -> None:
        self._start = time.process_time()
        self._seconds = minutes * 60

    def spent(self) -> float:
        """The share of the allowance that is gone, 0 to 1 and beyond."""
        return (time.process_time() - self._start) / torch.get_num_threads() / self._seconds

    def is_over(self) -> bool:
        return self.spent() >= 1


def save_checkpoint(name: str, state: Mapping[str, Any]) -> None:
    """Written beside and renamed: a kill at any moment leaves a whole checkpoint."""
    TRAINING.mkdir(parents=True, exist_ok=True)
    path = TRAINING / f"{name}.pt"
    partial = path.with_suffix(".partial")
    torch.save(dict(state), partial)
    partial.replace(path)


def load_checkpoint(name: str) -> dict[str, Any] | None:
    path = TRAINING / f"{name}.pt"
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def need_checkpoint(name: str) -> dict[str, Any]:
    """The newest state of a stage: its checkpoint, or else what was exported."""
    state = load_checkpoint(name) or load_exported(name)
    if state is None:
        raise SystemExit(f"the {name} stage has not been run yet")
    return state


def load_exported(name: str) -> dict[str, Any] | None:
    """A stage's weights out of the exported model, without what an optimizer remembers."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    parts: dict[str, tuple[Any, str]] = {
        "text": (CLIPTextModel, "text_encoder"),
        "vae-white": (AutoencoderKL, "vae"),
        "unet": (UNet2DConditionModel, "unet"),
    }
    if name not in parts:
        return None
    kind, folder = parts[name]
    if not (MODEL / folder).is_dir():
        return None
    return {"model": kind.from_pretrained(MODEL / folder).float().state_dict()}


def pictures_to_tensor(pictures: Any) -> Tensor:
    """RGB bytes, N x H x W x 3, as the -1..1 floats that the autoencoder reads."""
    tensor: Tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor
