"""A model as a pipeline on its device: a diffusers folder or a single file, some parts replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mysticanvas import model_folders
from mysticanvas.errors import ModelFileError, MystiCanvasError
from mysticanvas.workers.image import bounds, devices, parts
from mysticanvas.workers.image.checkpoint import Checkpoint
from mysticanvas.workers.image.folder import Folder
from mysticanvas.workers.image.parts import Replaced

_SINGLE_FILES = (".safetensors", ".gguf")


def base(path: Path) -> Folder | Checkpoint:
    """The model at a path, of which nothing but headers is read yet.

    Raises:
        ModelFileError: it is no model, or is damaged or unsafe.
    """
    if path.suffix in model_folders.PICKLES:
        raise model_folders.pickled(path)
    try:
        return Checkpoint(path) if path.suffix in _SINGLE_FILES else Folder(path)
    except OSError as error:
        # A name that is too long, say, or a folder that may not be read.
        raise ModelFileError(
            f"The model {str(path)[:200]} cannot be read: {error.strerror}.",
            hint="Give the path of a diffusers folder, or of a .safetensors or .gguf file.",
        ) from error


def load(
    path: Path, device: torch.device, dtype: torch.dtype, replaced: Replaced | None = None
) -> Any:
    """The pipeline of a model, on the device.

    Args:
        path: a diffusers folder, or a `.safetensors` or `.gguf` file.
        replaced: what is taken from other files.

    Raises:
        ModelFileError: a file is no model, or is incomplete, damaged or unsafe.
    """
    model = base(path)
    try:
        with bounds.building(f"The model {path}"):
            others = parts.load(replaced or Replaced(), model, dtype)
            pipeline = model.pipeline(others, dtype)
        _require_numbers(path, pipeline)
        pipeline = pipeline.to(device, silence_dtype_warnings=True)
    except MystiCanvasError:
        raise
    except Exception as error:
        if devices.is_out_of_memory(error):
            raise
        raise ModelFileError(
            f"The model {path} cannot be loaded: {_first_line(error)}",
            hint="Its files do not fit together, or belong to another version of diffusers.",
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def uses_transformer(index: dict[str, Any]) -> bool:
    """Whether a diffusion transformer does the denoising."""
    return "transformer" in index


def _require_numbers(path: Path, pipeline: Any) -> None:
    """Refuse a model some of whose parameters no file had: they are left without numbers."""
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            for parameter, value in part.named_parameters():
                if value.is_meta:
                    raise ModelFileError(
                        f"The model {path} is incomplete: its {name} lacks {parameter!r}.",
                        hint="Copy or download the model again, completely.",
                    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
