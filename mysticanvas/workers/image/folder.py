"""A diffusers folder as a pipeline: checked first, then loaded without any code of its own.

The checks come before diffusers sees the folder, since `model_index.json` names modules that it
would import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

from mysticanvas import model_folders
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import bounds, classes, weights
from mysticanvas.workers.model_files import safetensors
from mysticanvas.workers.model_files.shapes import Config

INDEX = "model_index.json"
_ADAPTER = "adapter_config.json"
_CONFIGS = ("config.json", "scheduler_config.json")
"""Those that say how much is made. A tokenizer's has lengths that stand for none."""


class Folder:
    """A folder as `save_pretrained` writes it.

    Raises:
        ModelFileError: it is no model, is damaged, or wants code that diffusers does not have.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = read_index(path)

    def template(self, component: str) -> Config:
        """The configuration of a component; empty if it has none."""
        path = self.path / component / "config.json"
        return read_config(path) if path.is_file() else {}

    def pipeline(self, parts: Mapping[str, Any], dtype: torch.dtype) -> Any:
        """The pipeline, with `parts` in place of its own.

        Raises:
            ModelFileError: a file is damaged, pickled or missing, or holds too little.
        """
        own = {
            name: library
            for name, library in model_folders.components(self.index)
            if name not in parts
        }
        for name, library in own.items():
            check_part(self.path, name)
            classes.find(library, class_name(self.index, name))
        variant = weights.variant_of(
            sorted((self.path / name).glob("*.safetensors")) for name in own
        )
        files = {
            name: model_folders.weights(self.path / name, library, variant)
            for name, library in own.items()
        }
        # diffusers is not typed: this is where Any comes in.
        kind: Any = diffusers.DiffusionPipeline
        pipeline = kind.from_pretrained(
            self.path,
            dtype=dtype,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **parts,
        )
        for name in own:
            require_complete(self.path / name, files[name], getattr(pipeline, name))
        return pipeline


def read_index(folder: Path) -> dict[str, Any]:
    """The checked `model_index.json`.

    Raises:
        ModelFileError: it is missing, damaged, or wants code that diffusers does not have.
    """
    if not (folder / INDEX).is_file():
        raise ModelFileError(
            f"{folder} is not a diffusers model: it has no {INDEX}.",
            hint="Give the folder that holds it, as `save_pretrained` writes it.",
        )
    index = read_config(folder / INDEX)
    kind = index.get("_class_name")
    if not (isinstance(kind, str) and _is_pipeline(getattr(diffusers, kind, None))):
        raise ModelFileError(
            f"{folder / INDEX} names the pipeline {kind!r}, which diffusers "
            f"{diffusers.__version__} does not have.",
            hint="Code that comes with a model is not run; a newer diffusers may have it.",
        )
    model_folders.check_index(folder / INDEX, index)
    return index


def class_name(index: Mapping[str, Any], component: str) -> str:
    """That of a component; empty if the index does not say it."""
    return str(index[component][1]) if index[component][1:] else ""


def read_config(path: Path) -> Config:
    """A JSON object of a model.

    Raises:
        ModelFileError: the file cannot be read, is too large, or holds something else or a number
            that no model has.
    """
    value = model_folders.read_json(path)
    bounds.check(path, value)
    return value


def check_part(folder: Path, name: str) -> None:
    """Check the configuration of a component, and the header of every weights file.

    Raises:
        ModelFileError: a file is cut off or no safetensors file, the component's folder is
            missing, or its weights are not its own; or as `read_config`.
    """
    part = folder / name
    if not part.is_dir():
        raise ModelFileError(
            f"The model {folder} has no folder {name!r}, which its {INDEX} names.",
            hint="Copy or download the model again, completely.",
        )
    check_files(part)


def check_files(part: Path) -> None:
    """Check the configuration in a component's folder, and the header of every weights file.

    Raises:
        ModelFileError: as `check_part`.
    """
    if (part / _ADAPTER).exists():
        # transformers would load the model that it names instead, from wherever that is.
        raise ModelFileError(
            f"{part} holds an adapter ({_ADAPTER}), not a model.",
            hint="Give the folder of the model, and the adapter as a LoRA in a .safetensors file.",
        )
    for name in _CONFIGS:
        if (part / name).is_file():
            read_config(part / name)
    model_folders.check(part)
    for path in sorted(part.glob("*.safetensors")):
        safetensors.validate(path)


def require_complete(part: Path, files: Iterable[Path], module: Any) -> None:
    """Refuse a component whose files hold fewer numbers than it has: transformers fills what is
    missing with random ones, and only says so in its log.

    Args:
        files: that its weights were loaded from.

    Raises:
        ModelFileError: so it is.
    """
    if not isinstance(module, torch.nn.Module):
        return
    stored = sum(
        tensor.numbers for path in files for tensor in safetensors.validate(path).tensors.values()
    )
    wanted = sum(parameter.numel() for parameter in module.parameters())
    if stored < wanted:
        raise ModelFileError(
            f"{part} holds {stored:,} numbers, but {type(module).__name__} has {wanted:,}.",
            hint="Copy or download the model again, completely.",
        )


def _is_pipeline(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline)
