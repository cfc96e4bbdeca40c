"""What was sampled and could not be decoded, as a file for another process."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from mysticanvas import durable, logs

_NAME = "latents"
_log = logs.get(__name__)


def save(folder: Path, name: str, latents: torch.Tensor) -> bool:
    """Write latents to a file that its user alone can read; whether there was space for it."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        durable.replace(folder / name, safetensors.torch.save({_NAME: latents.contiguous()}))
    except OSError as error:
        if not durable.is_full(error):
            raise
        _log.warning("latents_not_kept", error=str(error))
        return False
    return True


def load(folder: Path, name: str) -> torch.Tensor | None:
    """The latents of a file; None if it is gone or damaged, so that they have to be made again."""
    try:
        return safetensors.torch.load_file(folder / name)[_NAME]
    except (OSError, KeyError, SafetensorError) as error:
        _log.warning("latents_lost", error=str(error))
        return None
