"""The autoencoder: pictures to cells of 8 x 8 pixels, and back."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from common import (
    FACTOR,
    LATENT_CHANNELS,
    SIZE,
    Clock,
    load_checkpoint,
    need_checkpoint,
    pictures_to_tensor,
    save_checkpoint,
)
from diffusers import AutoencoderKL
from draw import draw
from optim import Optimizer
from torch import Tensor, nn
from torch.nn import functional
from world import sample

CROP = 32
RATE = 2.5e-3
WHOLE_SHARE = 0.2  # of the time, at the end: whole pictures, as group norm's statistics are then


# One norm group: normalising a few channels by themselves would wipe out how red a flat red is.
def build_vae() -> AutoencoderKL:
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=1,
        mid_block_add_attention=False,
        sample_size=SIZE,
        scaling_factor=1.0,
    )
    _start_as_a_passage(vae)
    return vae


def _start_as_a_passage(vae: AutoencoderKL) -> None:
    """Start near "shrink, carry, enlarge": colours pass from the first step, and learning halves in
    time."""
    for name, layer in vae.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        if name.endswith("conv2"):
            layer.weight.data *= 0.1
        if "samplers" in name:
            layer.weight.data *= 0.3
            layer.weight.data[range(layer.in_channels), range(layer.in_channels), 1, 1] += 1
        if "quant" not in name:
            nn.init.zeros_(layer.bias)
    # Sampling noise as large as the means at the start would hide them from the decoder for long.
    nn.init.constant_(vae.quant_conv.bias[LATENT_CHANNELS:], -5.0)


def _crops(rng: Random, count: int) -> Tensor:
    """Random crops in which something happens: flat ones teach little after the first."""
    crops: list[np.ndarray] = []
    while len(crops) < count:
        picture = draw(sample(rng), rng)
        for _ in range(8):
            x, y = (
                rng.randrange(0, SIZE - CROP + 1, FACTOR),
                rng.randrange(0, SIZE - CROP + 1, FACTOR),
            )
            crop = picture[y : y + CROP, x : x + CROP]
            if crop.std(axis=(0, 1)).max() > 12 or rng.random() < 0.1:
                crops.append(crop)
    return pictures_to_tensor(np.stack(crops[:count]))


def _wholes(rng: Random, count: int) -> Tensor:
    width, height = rng.choice(((SIZE, SIZE), (SIZE, SIZE), (96, 160), (160, 96)))
    return pictures_to_tensor(
        np.stack([draw(sample(rng), rng, width, height) for _ in range(count)])
    )


def _edge_error(seen: Tensor, pictures: Tensor) -> Tensor:
    """How wrong the steps from pixel to pixel are, which is where blur shows."""
    rows = (seen.diff(dim=-2) - pictures.diff(dim=-2)).abs().mean()
    columns = (seen.diff(dim=-1) - pictures.diff(dim=-1)).abs().mean()
    return rows + columns


def _loss(vae: AutoencoderKL, pictures: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    posterior = vae.encode(pictures).latent_dist
    seen = vae.decode(posterior.sample()).sample
    error = (seen - pictures).abs().mean()
    edges = _edge_error(seen, pictures)
    spread = posterior.kl().mean() / (pictures.shape[-1] * pictures.shape[-2])
    return 4 * functional.mse_loss(seen, pictures) + sharpness * (
        error + 0.5 * edges
    ) + 2e-3 * spread, error


def _save(vae: AutoencoderKL, optimizer: Optimizer, step: int) -> None:
    save_checkpoint(
        "vae", {"model": vae.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    )


def train_vae(minutes: float) -> None:
    torch.manual_seed(3)
    vae = build_vae().to(memory_format=torch.channels_last)
    optimizer, step = Optimizer(vae), 0
    state = load_checkpoint("vae")
    if state:
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    clock = Clock(minutes)
    while not clock.is_over():
        step += 1
        spent, rng = clock.spent(), Random(f"vae {step}")
        pictures = _wholes(rng, 4) if spent > 1 - WHOLE_SHARE else _crops(rng, 64)
        # Sharpness asked of it before it knows the colours would only teach it to be grey.
        sharpness = min(1, 0.05 + step / 250)
        loss, error = _loss(vae, pictures.contiguous(memory_format=torch.channels_last), sharpness)
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 5.0)
        optimizer.step(RATE * min(1, step / 20) * min(1, max(0.03, 1.3 * (1 - spent))))
        if step % 20 == 0:
            print(
                f"vae {step}: loss {loss.item():.4f}, error {error.item() * 127.5:.2f} of 255",
                flush=True,
            )
        if step % 25 == 0:
            _save(vae, optimizer, step)
    _save(vae, optimizer, step)
    whiten(vae)


def whiten(vae: AutoencoderKL) -> None:
    """Fold each latent channel's mean and spread into the 1x1 convolutions at the seam.

    The latents are then about N(0, 1) channel by channel, which one scaling factor could not do.
    """
    rng = Random("whiten")
    with torch.no_grad():
        latents = torch.cat(
            [
                vae.encode(_wholes(rng, 8))
                .latent_dist.mean.flatten(2)
                .transpose(1, 2)
                .flatten(0, 1)
                for _ in range(40)
            ]
        )
        mean, spread = latents.mean(0), latents.std(0)
        into, out = vae.quant_conv, vae.post_quant_conv
        into.weight[:LATENT_CHANNELS] /= spread[:, None, None, None]
        into.bias[:LATENT_CHANNELS] = (into.bias[:LATENT_CHANNELS] - mean) / spread
        into.bias[LATENT_CHANNELS:] -= 2 * spread.log()
        out.bias += (out.weight[:, :, 0, 0] * mean).sum(1)
        out.weight *= spread[None, :, None, None]
    save_checkpoint("vae-white", {"model": vae.state_dict()})
    print(
        "vae: channel means",
        [round(float(m), 2) for m in mean],
        "spreads",
        [round(float(s), 2) for s in spread],
        flush=True,
    )


def train_decoder(minutes: float) -> None:
    """Sharpen the decoder alone: the latents stay, so a UNet trained on them, or in training, does
    too.

    The latents are disturbed as the UNet's will be, which teaches the decoder to overlook it.
    """
    vae = load_vae().train()
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    vae = vae.to(memory_format=torch.channels_last)
    optimizer, step, clock = Optimizer(vae), 0, Clock(minutes)
    state = load_checkpoint("decoder")
    if state:
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    while not clock.is_over():
        step += 1
        pictures = _wholes(Random(f"decoder {step}"), 5).contiguous(
            memory_format=torch.channels_last
        )
        with torch.no_grad():
            latents = vae.encode(pictures).latent_dist.mean
            latents = latents + 0.1 * torch.rand(()) * torch.randn_like(latents)
        seen = vae.decode(latents).sample
        error = (seen - pictures).abs().mean()
        loss = 4 * functional.mse_loss(seen, pictures) + error + 0.5 * _edge_error(seen, pictures)
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 5.0)
        optimizer.step(0.6 * RATE * min(1, step / 10) * max(0.02, 1 - clock.spent()))
        if step % 20 == 0:
            print(f"decoder {step}: error {error.item() * 127.5:.2f} of 255", flush=True)
        if step % 40 == 0 or clock.is_over():
            save_checkpoint("vae-white", {"model": vae.state_dict()})
            save_checkpoint("decoder", {"optimizer": optimizer.state_dict(), "step": step})


def load_vae() -> AutoencoderKL:
    vae = build_vae()
    vae.load_state_dict(need_checkpoint("vae-white")["model"])
    return vae.eval()
