"""Train the starter image model from nothing: `python train.py --stage all --until 100`.

Every stage goes on from its last checkpoint, so it may be killed and started again at any time.
"""

from __future__ import annotations

import argparse
import ctypes
import os

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # threads that spin take the other processes' cores

import torch
from common import TRAINING


def keep_memory() -> None:
    """Have glibc keep freed blocks: giving each step's back to the kernel costs a quarter of the
    time."""
    mmap_max, trim_threshold, arena_max = -4, -1, -8
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(arena_max, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--stage",
        choices=("tokenizer", "text", "vae", "decoder", "latents", "unet", "export"),
        required=True,
    )
    parser.add_argument(
        "--until",
        type=float,
        default=10.0,
        metavar="MINUTES",
        help="of processor time, for each thread",
    )
    parser.add_argument(
        "--shards", type=int, default=40, help="latents: how many shards of 512 scenes"
    )
    parser.add_argument(
        "--cool", action="store_true", help="unet: let the learning rate fall to nothing"
    )
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    keep_memory()
    torch.set_num_threads(given.threads)
    TRAINING.mkdir(parents=True, exist_ok=True)
    if given.stage == "tokenizer":
        from train_text import train_tokenizer

        train_tokenizer()
    elif given.stage == "text":
        from train_text import train_text

        train_text(given.until)
    elif given.stage == "vae":
        from train_vae import train_vae

        train_vae(given.until)
    elif given.stage == "decoder":
        from train_vae import train_decoder

        train_decoder(given.until)
    elif given.stage == "latents":
        from latents import make_latents

        make_latents(given.shards, given.until)
    elif given.stage == "unet":
        from train_unet import train_unet

        train_unet(given.until, cool=given.cool)
    else:
        from export import export

        export()


if __name__ == "__main__":
    main()
