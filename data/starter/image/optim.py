"""Muon for the matrices, AdamW for the rest: fewer steps, which on two cores is what training
costs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95


A, B, C = 3.4445, -4.7750, 2.0315


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About U·Vᵀ of each matrix's singular value decomposition, by the quintic Newton-Schulz
    iteration; count × height × width, of which the height is the smaller one.

    Every step multiplies by a polynomial of x·xᵀ, and those commute: a wide matrix is multiplied
    twice in all, and the steps work on the small square one.
    """
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    turn: Tensor | None = None
    for _ in range(steps):
        factor = torch.baddbmm(gram, gram, gram, beta=B, alpha=C)
        factor.diagonal(dim1=1, dim2=2).add_(A)
        turn = factor if turn is None else factor @ turn
        gram = factor @ (gram @ factor)
    assert turn is not None
    return turn @ x


class Optimizer:
    """`step(rate)`: the rate is AdamW's; a matrix's update is scaled to the same size as Adam's
    would be."""

    def __init__(self, model: nn.Module) -> None:
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.matrices = [
            p
            for n, p in named
            if p.ndim >= 2
            and not n.startswith(("conv_in", "conv_out"))
            and min(p.flatten(1).shape) >= 8
        ]
        taken = {id(p) for p in self.matrices}
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.AdamW(
            [p for _, p in named if id(p) not in taken], 1e-3, betas=(0.9, 0.97), weight_decay=0.0
        )

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        self.adam.zero_grad()
        # All matrices of a shape at once: most are small, and a call for each costs more than they.
        alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for weight, momentum in zip(self.matrices, self.momenta, strict=True):
            if weight.grad is None:
                continue
            momentum.lerp_(weight.grad, 1 - MOMENTUM)
            ahead = weight.grad.lerp(momentum, MOMENTUM).flatten(1)
            ahead = ahead.T if ahead.shape[0] > ahead.shape[1] else ahead
            alike.setdefault(tuple(ahead.shape), []).append((weight, ahead))
            weight.grad = None
        for (_, longer), group in alike.items():
            updates = orthogonal(torch.stack([ahead for _, ahead in group]))
            for (weight, _), update in zip(group, updates, strict=True):
                turned = update if weight.shape[0] == update.shape[0] else update.T
                size = 0.2 * longer**0.5
                weight.mul_(1 - rate * 0.02).add_(turned.reshape(weight.shape), alpha=-rate * size)

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state["adam"])
        self.momenta = state["momenta"]
