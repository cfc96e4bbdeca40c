"""The image model: a small UNet that learns v-prediction on the cached latents."""

from __future__ import annotations

import copy
from random import Random

import torch
from common import (
    LATENT_CHANNELS,
    TEXT_WIDTH,
    Clock,
    load_checkpoint,
    load_exported,
    need_checkpoint,
    save_checkpoint,
)
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from latents import SHARD, count_shards, load_shard, shard_shape
from optim import Optimizer
from phrases import describe
from torch import Tensor, nn
from train_text import build_text_encoder, load_tokenizer, tokenize
from world import Scene

BATCH = 48
RATE = 1.5e-3
EMA = 0.998
DROPPED = 0.1  # captions left empty, so that guidance has something to lead away from

# v-prediction from pure noise (zero terminal SNR) with trailing steps: flat, saturated backgrounds
# come out as named, which epsilon-prediction with the usual schedule cannot do.
NOISE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


def build_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        # The caption is read where a cell is a sixteenth of the picture: places and bindings are
        # decided there, the finer levels only carry them out, and attention at those would double
        # the time.
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=4,
    )


def build_scheduler() -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(**NOISE, use_lu_lambdas=False)


class Latents:
    """Batches from the cached shards; captions are said anew every time."""

    def __init__(self) -> None:
        self.shards: dict[int, tuple[Tensor, list[Scene]]] = {}
        self.refresh()

    def refresh(self) -> None:
        for index in range(count_shards()):
            if index not in self.shards:
                self.shards[index] = load_shard(index)

    def batch(self, rng: Random) -> tuple[Tensor, list[str]]:
        default = [i for i in self.shards if shard_shape(i) == (16, 16)]
        others = [i for i in self.shards if shard_shape(i) != (16, 16)]
        if others and rng.random() < 0.12:
            shards = [rng.choice(others)] * BATCH  # one size in a batch
        else:
            shards = rng.choices(default, k=BATCH)
        picked = [(i, rng.randrange(SHARD)) for i in shards]
        latents = torch.stack([self.shards[i][0][j] for i, j in picked]).float()
        captions = [
            "" if rng.random() < DROPPED else describe(self.shards[i][1][j], rng)[0]
            for i, j in picked
        ]
        return latents, captions


def _timesteps(count: int) -> Tensor:
    """One from each slice of the schedule, leaning to the noisy end, where colours and places are
    decided."""
    even = (torch.arange(count) + torch.rand(count)) / count
    return (999.999 * even**0.6).long()


def _follow(average: nn.Module, model: nn.Module, step: int) -> None:
    decay = min(EMA, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def _rate(step: int, spent: float, *, cool: bool) -> float:
    return RATE * min(1, step / 50) * (max(0.01, 1 - spent) if cool else 1)


def train_unet(minutes: float, *, cool: bool = False, saved_every: int = 100) -> None:
    """Train on; with `cool` the learning rate falls to nothing by the end, which is what to
    export."""
    torch.manual_seed(4)
    tokenizer = load_tokenizer()
    text = build_text_encoder(len(tokenizer))
    text.load_state_dict(need_checkpoint("text")["model"])
    text.eval().requires_grad_(False)
    unet = build_unet().to(memory_format=torch.channels_last)
    average, step = copy.deepcopy(unet).requires_grad_(False), 0
    optimizer = Optimizer(unet)
    state = load_checkpoint("unet") or load_exported("unet")
    if state:
        unet.load_state_dict(state["model"])
        average.load_state_dict(state.get("average", state["model"]))
        step = state.get("step", 0)
        if "optimizer" in state:
            optimizer.load_state_dict(state["optimizer"])
    noising, data, clock = DDIMScheduler(**NOISE), Latents(), Clock(minutes)
    torch.manual_seed(step)
    running = 1.0
    while not clock.is_over():
        step += 1
        latents, captions = data.batch(Random(f"unet {step}"))
        noise, times = torch.randn_like(latents), _timesteps(len(latents))
        noisy = noising.add_noise(latents, noise, times).contiguous(
            memory_format=torch.channels_last
        )
        goal = noising.get_velocity(latents, noise, times)
        states = text(tokenize(tokenizer, captions)).last_hidden_state
        loss = (unet(noisy, times, states).sample - goal).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step(_rate(step, clock.spent(), cool=cool))
        _follow(average, unet, step)
        running += 0.02 * (loss.item() - running)
        if step % 25 == 0:
            print(f"unet {step}: loss {running:.4f}", flush=True)
        if step % saved_every == 0:
            data.refresh()
            _save(unet, average, optimizer, step)
    _save(unet, average, optimizer, step)


def _save(unet: nn.Module, average: nn.Module, optimizer: Optimizer, step: int) -> None:
    save_checkpoint(
        "unet",
        {
            "model": unet.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
        },
    )
