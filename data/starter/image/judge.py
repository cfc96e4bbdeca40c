"""A small network that names what a drawn picture shows; it judges the model and never teaches it.

It is fitted on freshly drawn pictures only, of all combinations, softened and noised a little so
that a picture need not be pixel-perfect to be read.
"""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from common import Clock, load_checkpoint, pictures_to_tensor, save_checkpoint
from draw import draw
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from world import COLOURED_STYLES, COLOURS, RELATIONS, SHAPES, Scene, sample_any, sensible

HEADS: dict[str, tuple[str, ...]] = {
    "relation": RELATIONS,
    "background": COLOURS,
    "shape1": SHAPES,
    "colour1": COLOURS,
    "shape2": ("none", *SHAPES),
    "colour2": ("none", *COLOURS),
}
IGNORED = -100  # cross-entropy's mark for "not to be judged"
Reading = dict[str, str]


def read_scene(scene: Scene) -> Reading:
    """What a perfect judge would say of the scene."""
    second = scene.second
    return {
        "relation": scene.relation,
        "background": scene.background,
        "shape1": scene.first.shape,
        "colour1": scene.first.colour,
        "shape2": second.shape if second else "none",
        "colour2": second.colour if second else "none",
    }


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def layer(into: int, out: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(into, out, 3, stride, 1), nn.GroupNorm(1, out), nn.ReLU()
            )

        self.trunk = nn.Sequential(
            layer(3, 16, 2),
            layer(16, 32, 2),
            layer(32, 48, 1),
            layer(48, 64, 2),
            layer(64, 64, 1),
            nn.Flatten(),
            nn.Linear(64 * 64, 192),
            nn.ReLU(),
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(192, len(values)) for name, values in HEADS.items()}
        )

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.trunk(functional.avg_pool2d(pictures, 2))
        return {name: head(features) for name, head in self.heads.items()}


def judge(model: Judge, pictures: NDArray[np.uint8]) -> list[Reading]:
    with torch.no_grad():
        logits = model(pictures_to_tensor(pictures))
    best = {name: values.argmax(1).tolist() for name, values in logits.items()}
    return [{name: HEADS[name][best[name][i]] for name in HEADS} for i in range(len(pictures))]


def _labels(scenes: list[Scene]) -> dict[str, Tensor]:
    rows = []
    for scene in scenes:
        reading = read_scene(scene)
        row = {name: HEADS[name].index(value) for name, value in reading.items()}
        if scene.style not in COLOURED_STYLES:
            row |= dict.fromkeys(("background", "colour1", "colour2"), IGNORED)
        rows.append(row)
    return {name: torch.tensor([row[name] for row in rows]) for name in HEADS}


def _sample(rng: Random) -> Scene:
    while True:
        scene = sample_any(rng)
        if sensible(scene):
            return scene


def _soften(pictures: Tensor) -> Tensor:
    """Blurred a little, tinted a little, noised a little: the faults that are not worth a mark."""
    blurred = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.rand(len(pictures), 1, 1, 1)
    tint = 0.05 * torch.randn(len(pictures), 3, 1, 1)
    return pictures.lerp(blurred, share) + tint + 0.04 * torch.randn_like(pictures)


def train_judge(minutes: float) -> Judge:
    torch.manual_seed(21)
    model = Judge()
    state, step = load_checkpoint("judge"), 0
    if state:
        model.load_state_dict(state["model"])
        step = state["step"]
    optimizer, clock = (
        torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01),
        Clock(minutes),
    )
    while not clock.is_over():
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * min(1, max(0.02, 1.5 * (1 - clock.spent())))
        rng = Random(f"judge {step}")
        scenes = [_sample(rng) for _ in range(48)]
        pictures = pictures_to_tensor(np.stack([draw(scene, rng) for scene in scenes]))
        logits, labels = model(_soften(pictures)), _labels(scenes)
        loss = torch.stack(
            [
                functional.cross_entropy(logits[name], labels[name], ignore_index=IGNORED)
                for name in HEADS
            ]
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            save_checkpoint("judge", {"model": model.state_dict(), "step": step})
            print(f"judge {step}: loss {loss.item():.3f}, {accuracy(model, 200)}", flush=True)
    save_checkpoint("judge", {"model": model.state_dict(), "step": step})
    return model.eval()


def load_judge() -> Judge:
    model = Judge()
    state = load_checkpoint("judge")
    if state is None:
        raise SystemExit("no judge yet: run `python train.py --stage judge`")
    model.load_state_dict(state["model"])
    return model.eval()


def accuracy(model: Judge, count: int = 1000, seed: int = 22) -> dict[str, float]:
    """Everything right, on drawn pictures it was not fitted on, of one thing and of two."""
    rng = Random(seed)
    right: dict[str, list[bool]] = {"one": [], "two": []}
    while sum(map(len, right.values())) < count:
        scene = _sample(rng)
        if scene.style not in COLOURED_STYLES:
            continue
        reading = judge(model, draw(scene, rng)[None])[0]
        right["two" if scene.second else "one"].append(reading == read_scene(scene))
    return {name: float(np.mean(hits)) for name, hits in right.items()}
