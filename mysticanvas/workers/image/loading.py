"""A diffusers folder as a pipeline: checked first, then loaded without any code of its own.

The checks come before diffusers sees the folder, since `model_index.json` names modules that it
would import.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError, safe_open

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import devices

INDEX = "model_index.json"
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_VARIANT = re.compile(r"\.(\w+)(-\d+-of-\d+)?\.safetensors$")


def read_index(folder: Path) -> dict[str, Any]:
    """The checked `model_index.json`.

    Raises:
        ModelFileError: it is missing, damaged, or wants code that diffusers does not have.
    """
    try:
        index: Any = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFileError(
            f"{folder} is not a diffusers model: it has no {INDEX}.",
            hint="Give the folder that holds it, as `save_pretrained` writes it.",
        ) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{folder / INDEX} cannot be read: {error}.") from error
    if not isinstance(index, dict):
        raise ModelFileError(f"{folder / INDEX} does not hold a JSON object.")
    kind = index.get("_class_name")
    if not isinstance(kind, str) or not hasattr(diffusers, kind):
        raise ModelFileError(
            f"{folder / INDEX} names the pipeline {kind!r}, which diffusers "
            f"{diffusers.__version__} does not have.",
            hint="Code that comes with a model is not run; a newer diffusers may have it.",
        )
    for name, library in _components(index):
        if not name.isidentifier():
            raise ModelFileError(f"{folder / INDEX}: {name!r} is not the name of a folder.")
        if library not in ("diffusers", "transformers") and not _is_pipeline_module(library):
            raise ModelFileError(
                f"{folder / INDEX} takes {name!r} from {library!r}, which is not diffusers.",
                hint="Code that comes with a model is not run.",
            )
    return index


def check_weights(folder: Path, index: dict[str, Any]) -> None:
    """Read the header of every weights file.

    Raises:
        ModelFileError: a file is cut off or no safetensors file, a component's folder is missing,
            or it has pickled weights only.
    """
    for name, _ in _components(index):
        part = folder / name
        if not part.is_dir():
            raise ModelFileError(
                f"The model {folder} has no folder {name!r}, which its {INDEX} names.",
                hint="Copy or download the model again, completely.",
            )
        weights = sorted(part.glob("*.safetensors"))
        pickles = [path.name for path in part.iterdir() if path.suffix in _PICKLES]
        if pickles and not weights:
            raise ModelFileError(
                f"{part} has its weights as {pickles[0]}, a pickle, which can run any code.",
                hint="Convert it: load it where you trust it, then "
                "`save_pretrained(folder, safe_serialization=True)`.",
            )
        for path in weights:
            _size_of(path)


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The pipeline of a folder, on the device.

    Raises:
        ModelFileError: the folder is not a model, or is incomplete, damaged or unsafe.
    """
    index = read_index(folder)
    check_weights(folder, index)
    # diffusers is not typed: this is where Any comes in.
    pipeline_class: Any = diffusers.DiffusionPipeline
    try:
        pipeline = pipeline_class.from_pretrained(
            folder,
            dtype=dtype,
            variant=_variant(folder, index),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        ).to(device)
    except Exception as error:
        if devices.is_out_of_memory(error):
            raise
        raise ModelFileError(
            f"The model {folder} cannot be loaded: {_first_line(error)}",
            hint="Its files do not fit together, or belong to another version of diffusers.",
        ) from error
    _require_complete(folder, pipeline)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def parts(pipeline: Any) -> list[MemoryPart]:
    """What the weights of each model of a pipeline take, and where they lie."""
    return [
        MemoryPart(
            name=f"weights.{name}", mib=_bytes(part) / 2**20, known="exact", device=str(part.device)
        )
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    ]


def _bytes(part: torch.nn.Module) -> int:
    tensors = itertools.chain(part.parameters(), part.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def uses_transformer(index: dict[str, Any]) -> bool:
    """Whether a diffusion transformer does the denoising."""
    return "transformer" in index


def _components(index: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and library of those that the pipeline has."""
    for name, value in index.items():
        if not name.startswith("_") and isinstance(value, list) and value and value[0] is not None:
            yield name, str(value[0])


def _is_pipeline_module(library: str) -> bool:
    """Such as `stable_diffusion`, the home of its safety checker."""
    return library.isidentifier() and hasattr(diffusers.pipelines, library)


def _variant(folder: Path, index: dict[str, Any]) -> str | None:
    """The file variant to ask for, such as `fp16`, where a component has no plain weights."""
    for name, _ in _components(index):
        found = [_VARIANT.search(path.name) for path in (folder / name).glob("*.safetensors")]
        variants = [match[1] for match in found if match]
        if found and len(variants) == len(found):
            return variants[0]
    return None


def _require_complete(folder: Path, pipeline: Any) -> None:
    """Refuse a model whose files hold fewer numbers than it has: transformers fills what is missing
    with random ones, and only says so in its log."""
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            stored = sum(_size_of(path) for path in (folder / name).glob("*.safetensors"))
            wanted = sum(parameter.numel() for parameter in part.parameters())
            if stored < wanted:
                raise ModelFileError(
                    f"{folder / name} holds {stored:,} numbers, but {type(part).__name__} has "
                    f"{wanted:,}.",
                    hint="Copy or download the model again, completely.",
                )


def _size_of(path: Path) -> int:
    """How many numbers a safetensors file holds, by its header, which is checked."""
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = file.keys()
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path} is damaged or cut off: {error}.",
            hint="Copy or download the file again.",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
