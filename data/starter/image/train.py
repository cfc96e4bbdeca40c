"""Train the starter image model from nothing: `python train.py`, or one stage at a time.

Every stage goes on from its last checkpoint, so it may be killed and started again at any time. A
stage whose forerunners left no checkpoint here goes on from the exported model.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
from collections.abc import Callable

# Threads that spin take the other processes' cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from common import TRAINING

SHARES = {"text": 0.10, "vae": 0.15, "decoder": 0.05, "latents": 0.15, "unet": 0.40, "cool": 0.15}
"""What part of the time each stage gets if all of them are run."""
SHARDS = 40


def keep_memory() -> None:
    """Have glibc keep freed blocks: giving each step's back to the kernel costs a quarter of the
    time."""
    mmap_max, trim_threshold, arena_max = -4, -1, -8
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(arena_max, 1)


def stages(minutes: float, shards: int) -> dict[str, Callable[[], None]]:
    """Name -> what to run. A stage's module is imported only when it runs."""

    def of(module: str, function: str, *given: object, **named: object) -> Callable[[], None]:
        return lambda: getattr(importlib.import_module(module), function)(*given, **named)

    return {
        "tokenizer": of("train_text", "train_tokenizer"),
        "text": of("train_text", "train_text", minutes),
        "vae": of("train_vae", "train_vae", minutes),
        "decoder": of("train_vae", "train_decoder", minutes),
        "latents": of("latents", "make_latents", shards, minutes),
        "unet": of("train_unet", "train_unet", minutes),
        "cool": of("train_unet", "train_unet", minutes, cool=True),
        "export": of("export", "export"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=("all", *stages(0, 0)), default="all")
    parser.add_argument(
        "--until",
        type=float,
        default=300.0,
        metavar="MINUTES",
        help="of processor time, for each thread; of a stage, or of all together",
    )
    parser.add_argument("--shards", type=int, default=SHARDS, help="latents: shards of 512 scenes")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    keep_memory()
    torch.set_num_threads(given.threads)
    TRAINING.mkdir(parents=True, exist_ok=True)
    if given.stage != "all":
        stages(given.until, given.shards)[given.stage]()
        return
    for name in stages(0, 0):
        stages(given.until * SHARES.get(name, 0.0), given.shards)[name]()


if __name__ == "__main__":
    main()
