"""How many bytes the weights of a diffusers folder take, by the headers of its files alone.

A header is read here rather than by a library, since it has to be bounded before it is parsed; this
module imports neither torch nor diffusers.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from mysticanvas.contracts.tracing import Dtype
from mysticanvas.errors import ModelFileError

MAX_HEADER_BYTES = 16 << 20
"""Of the JSON that a safetensors file begins with; a model of 10,000 tensors has 1.5 MB."""
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 8
MAX_FILES = 1_000
"""Of a component."""

_LENGTH_BYTES = 8
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
_OTHERS = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
_SIZES = _FLOATS | _OTHERS
_RUNNING: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
_VARIANT = re.compile(r"\.(\w+)(-\d+-of-\d+)?\.safetensors$")


class Tensor(NamedTuple):
    """An entry of a header."""

    dtype: str
    """As the format names it, such as `F16`."""
    numbers: int

    def bytes_as(self, dtype: Dtype) -> int:
        """Bytes when it runs; whole numbers stay as they are."""
        return self.numbers * (_RUNNING[dtype] if self.dtype in _FLOATS else _SIZES[self.dtype])


def of_folder(
    folder: Path, dtype: Dtype, *, kept: Mapping[str, Iterable[str]] | None = None
) -> dict[str, int]:
    """Component -> bytes of its weights in the format that it runs in.

    Args:
        folder: a diffusers folder. Subfolders without safetensors files have no weights.
        kept: component -> parts of the names of tensors that stay in float32.

    Raises:
        ModelFileError: a file is damaged, cut off or no safetensors file.
    """
    parts = {each.name: _files(each) for each in sorted(folder.iterdir()) if each.is_dir()}
    variant = _variant(parts.values())
    found = {}
    for name, files in parts.items():
        chosen = _chosen(files, variant)
        tensors = {key: each for path in chosen for key, each in read_header(path).items()}
        if tensors:
            found[name] = _total(tensors, dtype, tuple((kept or {}).get(name, ())))
    return found


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name, after all of its claims were checked.

    Raises:
        ModelFileError: it is cut off, too long, contradicts itself or is no such file.
    """
    try:
        header, size = _read(path)
        return _checked(header, size)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is damaged, cut off or no safetensors file: {error}.",
            hint="Copy or download the file again.",
        ) from error


def _total(tensors: Mapping[str, Tensor], dtype: Dtype, kept: tuple[str, ...]) -> int:
    return sum(
        tensor.bytes_as("float32" if any(part in name for part in kept) else dtype)
        for name, tensor in tensors.items()
    )


def _files(component: Path) -> list[Path]:
    files = sorted(component.glob("*.safetensors"))
    if len(files) > MAX_FILES:
        raise ModelFileError(
            f"{component} has {len(files):,} weights files; at most {MAX_FILES:,} are read."
        )
    return files


def _variant(parts: Iterable[list[Path]]) -> str | None:
    """The variant, such as `fp16`, that is loaded where a component has no plain weights."""
    for files in parts:
        found = [match[1] for path in files if (match := _VARIANT.search(path.name))]
        if files and len(found) == len(files):
            return found[0]
    return None


def _chosen(files: list[Path], variant: str | None) -> list[Path]:
    """Those of the variant, or the plain ones where there are none of it."""
    of_variant = [p for p in files if (m := _VARIANT.search(p.name)) and m[1] == variant]
    return of_variant or [path for path in files if not _VARIANT.search(path.name)]


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """The header as JSON, and the bytes of data behind it."""
    # A pipe would block whoever opens it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        rest = status.st_size - _LENGTH_BYTES - length
        if rest < 0:
            raise ValueError(f"its header claims {length:,} bytes, and the file is shorter")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header has more than {MAX_HEADER_BYTES:,} bytes")
        text = file.read(length)
    header = json.loads(text, object_pairs_hook=_without_doubles)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, rest


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header names something twice")
    return found


def _checked(header: Mapping[str, Any], size: int) -> dict[str, Tensor]:
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it has more than {MAX_TENSORS:,} tensors")
    tensors, spans = {}, []
    for name, entry in header.items():
        if name != "__metadata__":
            tensors[name], span = _entry(name, entry)
            spans.append((*span, name))
    end = 0
    for start, stop, name in sorted(spans):
        if start != end:
            raise ValueError(f"{name[:80]!r} {'overlaps another' if start < end else 'has a gap'}")
        end = stop
    if end != size:
        raise ValueError(f"its tensors end at byte {end:,} of {size:,}")
    return tensors


def _entry(name: str, entry: Any) -> tuple[Tensor, tuple[int, int]]:
    shown = name[:80]
    if not isinstance(entry, dict):
        raise ValueError(f"{shown!r} is not described")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise ValueError(f"{shown!r} has no number format that is known")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{shown!r} has no shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{shown!r} has no place in the file")
    tensor = Tensor(dtype, math.prod(shape))
    start, stop = offsets
    if stop - start != tensor.numbers * _SIZES[tensor.dtype]:
        raise ValueError(f"{shown!r} does not have the size of its shape")
    return tensor, (start, stop)


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        type(each) is int and 0 <= each < 1 << 62 for each in value
    )
