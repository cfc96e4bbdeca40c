"""Write the trained parts as the folder that `StableDiffusionPipeline.from_pretrained` loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from common import MODEL, load_checkpoint, need_checkpoint
from diffusers import StableDiffusionPipeline
from phrases import words
from train_text import build_text_encoder, load_tokenizer
from train_unet import build_scheduler, build_unet
from train_vae import load_vae

DRAWS = (
    "One or two coloured shapes (circle, square, triangle, star, heart, cross), small or big, "
    "one above, below, left of, right of or inside the other, on a coloured background, "
    "in flat, outline, striped, noir, neon or watercolor style."
)
DEFAULTS = {"num_inference_steps": 12, "guidance_scale": 3.0}


def build_pipeline() -> StableDiffusionPipeline:
    tokenizer = load_tokenizer()
    text = build_text_encoder(len(tokenizer))
    text.load_state_dict(need_checkpoint("text")["model"])
    unet = build_unet()
    state = load_checkpoint("unet")
    if state:
        unet.load_state_dict(state["average"])
    return StableDiffusionPipeline(
        vae=load_vae(),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def export(folder: Path = MODEL) -> None:
    """Half precision on disk; written beside and renamed, so a reader never meets half a folder."""
    fresh, old = folder.with_name("model.fresh"), folder.with_name("model.old")
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    pipeline = build_pipeline()
    # Not the text encoder: transformers would load it as stored, beside a UNet in single precision.
    pipeline.unet.to(torch.float16)
    pipeline.vae.to(torch.float16)
    pipeline.save_pretrained(fresh, safe_serialization=True)
    for path in fresh.rglob("*.safetensors"):
        path.chmod(0o644)
    world = {"draws": DRAWS, "words": words(), "default_params": DEFAULTS}
    (fresh / "world.json").write_text(json.dumps(world, indent=1) + "\n")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"exported {folder.name}: {size / 1e6:.1f} MB", flush=True)
