"""How many bytes the weights in a diffusers folder take, by the headers of its files alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mysticanvas import model_folders
from mysticanvas.contracts.tracing import Dtype
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.model_files import safetensors
from mysticanvas.workers.model_files.safetensors import Tensor

MAX_FILES = 1_000
"""Of a component."""

_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""Formats that become the one that the model runs in; whole numbers stay as they are."""
_RUNNING: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
_UNSTORED = "embeddings.position_ids"
"""A buffer of CLIP, which older versions of transformers have written."""
_VARIANT = re.compile(r"\.(\w+)(-\d+-of-\d+)?\.safetensors$")


def of_folder(
    folder: Path,
    components: Mapping[str, str],
    dtype: Dtype,
    *,
    kept: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, int]:
    """Component -> bytes of its weights in the format that it runs in.

    Args:
        folder: a diffusers folder.
        components: those that are loaded out of it, each with its library; others may lie there.
        kept: component -> parts of the names of tensors that stay in float32.

    Raises:
        ModelFileError: a file is damaged, cut off, missing or no safetensors file.
    """
    variant = variant_of(_files(folder / name) for name in components)
    sizes = {
        name: _total(
            model_folders.weights(folder / name, library, variant),
            dtype,
            (kept or {}).get(name, ()),
        )
        for name, library in components.items()
    }
    return {name: size for name, size in sizes.items() if size}


def of_component(folder: Path, library: str, dtype: Dtype, kept: Iterable[str] = ()) -> int:
    """Bytes of the weights in the folder of a component, in the format that it runs in.

    Args:
        library: that the component comes from.
        kept: parts of the names of tensors that stay in float32.

    Raises:
        ModelFileError: as `of_folder`.
    """
    variant = variant_of([_files(folder)])
    return _total(model_folders.weights(folder, library, variant), dtype, kept)


def _total(files: Iterable[Path], dtype: Dtype, kept: Iterable[str]) -> int:
    """A name that comes twice counts once, and a buffer that files need not hold never."""
    tensors = {
        name: tensor
        for path in files
        for name, tensor in safetensors.validate(path).tensors.items()
        if not name.endswith(_UNSTORED)
    }
    kept = tuple(kept)
    return sum(
        _bytes(tensor, "float32" if any(part in name for part in kept) else dtype)
        for name, tensor in tensors.items()
    )


def _bytes(tensor: Tensor, dtype: Dtype) -> int:
    """Those of a tensor when it runs."""
    if tensor.dtype in _FLOATS:
        return tensor.numbers * _RUNNING[dtype]
    return tensor.end - tensor.start


def _files(component: Path) -> list[Path]:
    files = sorted(component.glob("*.safetensors"))
    if len(files) > MAX_FILES:
        raise ModelFileError(
            f"{component} has {len(files):,} weights files; at most {MAX_FILES:,} are read."
        )
    return files


def variant_of(parts: Iterable[list[Path]]) -> str | None:
    """The variant, such as `fp16`, that is loaded where a component has no plain weights.

    Args:
        parts: the safetensors files of each component.
    """
    for files in parts:
        found = [match[1] for path in files if (match := _VARIANT.search(path.name))]
        if files and len(found) == len(files):
            return found[0]
    return None
