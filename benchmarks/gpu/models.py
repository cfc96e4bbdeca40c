"""Models of real shapes with random weights: as pipelines on a device, and as folders of headers.

A folder has the configurations and, for each component, a safetensors file that is a hole behind
its header: enough for whatever reads shapes, and no room on the disk.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import accelerate
import diffusers
import torch
import transformers

from benchmarks.gpu import languages
from benchmarks.gpu.narrow import NARROW
from mysticanvas import model_folders
from mysticanvas.settings import data_folder
from mysticanvas.workers.image import checkpoint

FOLDERS = {
    "sd15": "stable-diffusion-1",
    "sdxl": "stable-diffusion-xl",
    "flux": "flux-1-dev",
    "sd3": "stable-diffusion-3",
    "z-image": "z-image",
    "qwen-image": "qwen-image",
}
DTYPES: dict[str, Any] = {
    "sd15": "float16",
    "sdxl": "float16",
    "flux": "bfloat16",
    "sd3": "bfloat16",
    "z-image": "bfloat16",
    "qwen-image": "bfloat16",
}
"""Model -> number format on a GPU, as a worker chooses it."""
SPREAD = 0.02
_FORMATS = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}


class Component(NamedTuple):
    """A model of a pipeline by its configuration."""

    name: str
    library: str
    kind: str
    """Its class."""
    config: dict[str, Any]

    def build(self, dtype: torch.dtype) -> Any:
        """The model with parameters on `meta` and buffers on the CPU."""
        with accelerate.init_empty_weights():
            if self.library == "transformers":
                kind = getattr(transformers, self.kind)
                model = kind(kind.config_class.from_dict(dict(self.config)))
            else:
                model = getattr(diffusers, self.kind).from_config(self.config)
        if hasattr(model, "tie_weights"):
            # Within the context above, parameters that are given a second name become two.
            model.tie_weights()
        # Not through the class of diffusers, which warns that files would have to be looked at.
        return torch.nn.Module.to(model.eval().requires_grad_(False), dtype)


def components(name: str, tiny: bool) -> Iterator[Component]:
    """The models of a pipeline, in the order of its index."""
    narrow = NARROW[name] if tiny else {}
    for component, (library, kind) in _index(name).items():
        config = _config(name, component)
        if config is not None:
            yield Component(component, library, kind, config | narrow.get(component, {}))


def pipeline(name: str, device: torch.device, dtype: torch.dtype, tiny: bool) -> Any:
    """The pipeline on its device, as one that was loaded from files.

    Args:
        name: a key of `FOLDERS`.
        tiny: whether it is made small, for a rehearsal.
    """
    parts: dict[str, Any] = {
        each.name: _on_device(each.build(dtype), device) for each in components(name, tiny)
    }
    for component, (_, kind) in _index(name).items():
        if component not in parts:
            parts[component] = _small_part(name, component, kind)
    if name == "sd15":
        parts |= {
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
    made = getattr(diffusers, _read(_folder(name) / "model_index.json")["_class_name"])(**parts)
    made.set_progress_bar_config(disable=True)
    return made


def write_folder(name: str, folder: Path, dtype: torch.dtype, tiny: bool) -> Path:
    """A diffusers folder with headers of weights and without their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    index = _read(_folder(name) / "model_index.json")
    (folder / "model_index.json").write_text(json.dumps(index))
    for each in components(name, tiny):
        (folder / each.name).mkdir()
        (folder / each.name / "config.json").write_text(json.dumps(each.config))
        tensors = dict(_stored(each.build(dtype)))
        stem = model_folders.stem_of(index[each.name][0])
        _write_header(folder / each.name / f"{stem}.safetensors", tensors)
    return folder


def _stored(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """What a file has of a model, those that are tied once."""
    kept = model.state_dict().keys()
    yield from model.named_parameters()
    yield from ((name, each) for name, each in model.named_buffers() if name in kept)


def _write_header(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    header, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _FORMATS[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def _on_device(model: Any, device: torch.device) -> Any:
    """Give the parameters of a model random numbers on a device."""
    made: dict[int, torch.Tensor] = {}

    def move(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_meta:
            return tensor.to(device)
        # Those that are tied are one.
        if id(tensor) not in made:
            made[id(tensor)] = torch.empty_like(tensor, device=device).normal_(0, SPREAD)
        return made[id(tensor)]

    with torch.no_grad():
        model._apply(move)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    return model


def _small_part(name: str, component: str, kind: str) -> Any:
    """A scheduler or a tokenizer."""
    folder = _folder(name) / component
    if component == "scheduler":
        return getattr(diffusers, kind).from_config(_read(folder / "scheduler_config.json"))
    if kind == "CLIPTokenizer":
        return checkpoint.clip_tokenizer(_read(folder / "tokenizer_config.json")["pad_token"])
    return languages.qwen() if kind == "Qwen2Tokenizer" else languages.t5()


def _config(name: str, component: str) -> dict[str, Any] | None:
    """That of a model; None for what is none."""
    path = _folder(name) / component / "config.json"
    if path.is_file():
        return _read(path)
    return languages.CONFIGS.get(name) if component == "text_encoder" else None


def _index(name: str) -> dict[str, tuple[str, str]]:
    """Component -> library and class of those that the pipeline has."""
    index = _read(_folder(name) / "model_index.json")
    return {
        component: (value[0], value[1])
        for component, value in index.items()
        if isinstance(value, list) and value[0] is not None
    }


def _folder(name: str) -> Path:
    return data_folder() / "architectures" / FOLDERS[name]


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value
