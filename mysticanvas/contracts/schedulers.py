"""Schedulers by diffusers class name and by the aliases that people know.

A table, because neither the kernel nor the orchestrator may import diffusers; a test in the image
worker proves that every name is a scheduler there and accepts the configuration given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mysticanvas.errors import InvalidRequest

CLASSES: tuple[str, ...] = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)

_KARRAS = {"use_karras_sigmas": True}

ALIASES: MappingProxyType[str, tuple[str, dict[str, Any]]] = MappingProxyType(
    {
        "ddim": ("DDIMScheduler", {}),
        "ddpm": ("DDPMScheduler", {}),
        "deis": ("DEISMultistepScheduler", {}),
        "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
        "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", _KARRAS),
        "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        "dpmpp_2m_sde_karras": (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "sde-dpmsolver++", **_KARRAS},
        ),
        "dpm_2": ("KDPM2DiscreteScheduler", {}),
        "dpm_2_ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
        "euler": ("EulerDiscreteScheduler", {}),
        "euler_a": ("EulerAncestralDiscreteScheduler", {}),
        "euler_karras": ("EulerDiscreteScheduler", _KARRAS),
        "heun": ("HeunDiscreteScheduler", {}),
        "lcm": ("LCMScheduler", {}),
        "pndm": ("PNDMScheduler", {}),
        "tcd": ("TCDScheduler", {}),
        "unipc": ("UniPCMultistepScheduler", {}),
    }
)

NAMES: tuple[str, ...] = (*sorted(ALIASES), *CLASSES)


def resolve(name: str) -> tuple[str, dict[str, Any]] | None:
    """The class name and the extra configuration that `name` stands for; None if unknown."""
    if name in CLASSES:
        return name, {}
    found = ALIASES.get(name.lower())
    return None if found is None else (found[0], dict(found[1]))


def require_same_family(own: str, name: str, config: Mapping[str, Any], where: str = "") -> None:
    """Refuse to mix flow matching and noise prediction, which read the same model output as
    different things.

    Args:
        own: class of the model's own scheduler.
        name: class of the one that is wanted.
        config: what is to be changed in its configuration.
        where: what stands before a parameter's name in the error.

    Raises:
        InvalidRequest: the scheduler does not suit the model.
    """
    flows = name.startswith("FlowMatch") or config.get("use_flow_sigmas") is True
    if flows != own.startswith("FlowMatch") and name != own:
        raise InvalidRequest(
            f"The scheduler {name} does not suit this model, whose own is {own}.",
            hint="A flow-matching model needs a flow-matching scheduler, any other model another.",
            parameter=f"{where}scheduler",
            value=name,
            allowed=own,
        )
