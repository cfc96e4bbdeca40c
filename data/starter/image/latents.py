"""The latents of drawn scenes, cached: what the image model learns from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from random import Random
from typing import Any

import numpy as np
import torch
from common import FACTOR, TRAINING, Clock, need_checkpoint, pictures_to_tensor, save_checkpoint
from draw import draw
from torch import Tensor
from train_vae import load_vae
from world import Scene, Thing, sample

# Latents come in shards of one picture size each; most are of the default size.
SHARD = 512
SHAPES = ((16, 16),) * 8 + ((12, 16), (16, 12), (20, 20), (16, 24), (24, 16), (12, 12))


def shard_shape(index: int) -> tuple[int, int]:
    """Latent height and width: one shard in seven is of another size than the default."""
    return SHAPES[8 + index // 7 % 6] if index % 7 == 6 else (16, 16)


def make_latents(shards: int, minutes: float) -> None:
    vae, clock = load_vae().to(memory_format=torch.channels_last), Clock(minutes)
    for index in range(shards):
        if clock.is_over() or (TRAINING / f"latents-{index:04d}.pt").exists():
            continue
        rng = Random(f"latents {index}")
        height, width = shard_shape(index)
        scenes = [sample(rng) for _ in range(SHARD)]
        parts = []
        with torch.no_grad():
            for start in range(0, SHARD, 32):
                pictures = np.stack(
                    [
                        draw(s, rng, width * FACTOR, height * FACTOR)
                        for s in scenes[start : start + 32]
                    ]
                )
                tensor = pictures_to_tensor(pictures).contiguous(memory_format=torch.channels_last)
                parts.append(vae.encode(tensor).latent_dist.mean.half().contiguous())
        save_checkpoint(
            f"latents-{index:04d}",
            {"latents": torch.cat(parts), "scenes": [asdict(s) for s in scenes]},
        )
        print(f"latents: shard {index} of {shards}, {height}x{width}", flush=True)


def count_shards() -> int:
    return len(list(TRAINING.glob("latents-*.pt")))


def load_shard(index: int) -> tuple[Tensor, list[Scene]]:
    state = need_checkpoint(f"latents-{index:04d}")
    return state["latents"], list(_scenes(state["scenes"]))


def _scenes(rows: list[dict[str, Any]]) -> Iterator[Scene]:
    for row in rows:
        second = row["second"]
        yield Scene(
            Thing(**row["first"]),
            row["background"],
            row["style"],
            row["relation"],
            Thing(**second) if second else None,
        )
