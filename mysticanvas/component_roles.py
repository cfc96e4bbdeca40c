"""Which component may stand for one of a model, by the classes that their configurations name: the
orchestrator refuses others at once, and a worker before it loads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mysticanvas.errors import ModelFileError

_RENAMED = dict.fromkeys(
    ("DiTTransformer2DModel", "PixArtTransformer2DModel"), "Transformer2DModel"
)
"""Newer name -> the one that diffusers takes for either as it loads."""
_AUTOENCODER = re.compile("Autoencoder|VAE|Vae|VQModel")


def check(path: Path, config: Mapping[str, Any], component: str, own: str) -> None:
    """Refuse the configuration of a component that plays another role.

    Args:
        path: of the configuration.
        config: what it holds.
        component: what it is given for; text encoders are told apart by their tensors.
        own: class of that component in the model.

    Raises:
        ModelFileError: so it is. One that names no class is that of the model's own.
    """
    name = _class_of(config)
    if name is None or _renamed(name) == _renamed(own) or component.startswith("text_encoder"):
        return
    if component == "vae" and is_autoencoder(str(name)):
        return
    allowed = "an autoencoder" if component == "vae" else own
    raise ModelFileError(
        f"{path} is that of {str(name)[:80]!r}, which cannot be the {component} of a model; "
        f"allowed is {allowed}.",
        hint="Give the folder of such a component, or of a pipeline that has one.",
    )


def is_autoencoder(name: str) -> bool:
    """Whether a class of diffusers is one, by its name."""
    return _AUTOENCODER.search(name) is not None


def _class_of(config: Mapping[str, Any]) -> Any:
    """The class that a configuration of diffusers or transformers names; None if none is named."""
    named = config.get("architectures")
    return config.get("_class_name", named[0] if isinstance(named, list) and named else None)


def _renamed(name: Any) -> Any:
    return _RENAMED.get(name, name) if isinstance(name, str) else name
