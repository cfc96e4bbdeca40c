"""Denoisers out of GGUF files: their matrices stay quantised, and each is made whole while it is
used."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders import single_file_model
from diffusers.quantizers.gguf import utils as gguf_utils
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image.architectures import Tracee
from mysticanvas.workers.model_files import headers
from mysticanvas.workers.model_files.headers import Contents

# diffusers is not typed.
utils: Any = gguf_utils
_files: Any = single_file_model
_config: Any = diffusers.GGUFQuantizationConfig
_KINDS = frozenset(
    {
        "FluxTransformer2DModel",
        "SD3Transformer2DModel",
        "QwenImageTransformer2DModel",
        "ZImageTransformer2DModel",
    }
)
_TYPES = {each.name.lower(): each for each in utils.SUPPORTED_GGUF_QUANT_TYPES}


def is_gguf(path: Path | None) -> bool:
    """Whether a file is one by its name."""
    return path is not None and path.suffix == headers.GGUF


def check(path: Path, kind: str, contents: Contents) -> None:
    """Refuse what diffusers does not make whole again.

    Args:
        kind: class of the model that the file is to hold.

    Raises:
        ModelFileError: so it is.
    """
    if kind not in _KINDS:
        raise ModelFileError(
            f"{path} is to be a {kind}, which is not loaded from GGUF.",
            hint=f"Loaded from it are: {', '.join(sorted(_KINDS))}. Give a folder or a "
            ".safetensors file.",
        )
    for name, number_type in contents.quantised.items():
        if number_type.lower() not in _TYPES:
            raise ModelFileError(
                f"{path}: {name!r} is of the type {number_type}, which diffusers "
                f"{diffusers.__version__} does not read.",
                hint=f"It reads f32, f16 and {', '.join(_TYPES)}.",
            )


def load(path: Path, kind: Any, config: str, dtype: torch.dtype) -> Any:
    """The model in a file.

    Args:
        kind: class of it.
        config: folder with its configuration.

    Raises:
        ModelFileError: it holds another, or a type of numbers that is not read.
    """
    check(path, kind.__name__, headers.read(path))
    model = kind.from_single_file(
        str(path),
        config=config,
        dtype=dtype,
        quantization_config=_config(compute_dtype=dtype),
        local_files_only=True,
    )
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            is_matrix = isinstance(module, utils.GGUFLinear) and name == "weight"
            if isinstance(parameter, utils.GGUFParameter) and not is_matrix:
                # Only matrices of linear layers are made whole by diffusers while they are used.
                whole = utils.dequantize_gguf_tensor(parameter).to(dtype)
                setattr(module, name, torch.nn.Parameter(whole, requires_grad=False))
    return model


def size(tracee: Tracee) -> int:
    """Bytes of a model, those of its quantised matrices as they are held."""
    tensors = itertools.chain(tracee.model.parameters(), tracee.model.buffers())
    return sum(each.numel() * each.element_size() for each in tensors)


def traced(tracee: Tracee, contents: Contents) -> Tracee:
    """A model without numbers whose matrices are quantised as those in a file, so that a trace has
    what is made whole of them.

    Raises:
        ModelFileError: diffusers does not convert such a file.
    """
    try:
        converted = _converted(tracee.model, contents)
    # Whatever the conversion makes of names and shapes that a file holds.
    except Exception as error:
        raise ModelFileError(
            f"The GGUF file is no {type(tracee.model).__name__} that diffusers "
            f"{diffusers.__version__} converts: {error}",
            hint="Give the model as a diffusers folder.",
        ) from error
    utils._replace_with_gguf_linear(tracee.model, tracee.dtype, converted)
    for name, module in tracee.model.named_modules():
        if isinstance(module, utils.GGUFLinear):
            module.weight = converted[f"{name}.weight"]
            if module.bias is not None:
                module.bias.data = module.bias.data.to(tracee.dtype)
    return tracee


def _converted(model: Any, contents: Contents) -> Mapping[str, Any]:
    """The file's tensors by the names that diffusers gives them, without numbers."""
    tensors = {
        name: _blank(shape, contents.quantised[name])
        if name in contents.quantised
        else torch.empty(shape, device="meta")
        for name, shape in contents.shapes.items()
    }
    # The model has fewer blocks than the file.
    if model.state_dict().keys() <= tensors.keys():
        return tensors
    convert = _files.SINGLE_FILE_LOADABLE_CLASSES[type(model).__name__]
    made: Mapping[str, Any] = convert["checkpoint_mapping_fn"](
        config=model.config, checkpoint=tensors
    )
    return made


def _blank(shape: tuple[int, ...], name: str) -> Any:
    kind: GGMLQuantizationType = _TYPES[name.lower()]
    block, size = GGML_QUANT_SIZES[kind]
    row = shape[-1] // block * size
    data = torch.empty((*shape[:-1], row), dtype=torch.uint8, device="meta")
    return utils.GGUFParameter(data, quant_type=kind)
