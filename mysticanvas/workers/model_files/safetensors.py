"""The header of a safetensors file, checked before anything else reads the file.

The format: 8 bytes with the length of the header, little-endian; the header, a JSON object from
names to dtype, shape and offsets; then the numbers, without gaps.
Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from pathlib import Path
from typing import Any, NamedTuple

from mysticanvas.errors import ModelFileError

MAX_HEADER_BYTES = 16 << 20
"""The largest of published models are below 2 MiB; each byte costs some fifty while it is read."""
MAX_TENSORS = 250_000
MAX_DIMENSIONS = 16

_METADATA = "__metadata__"
_LENGTH = struct.Struct("<Q")
BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
}
"""Number format -> bits of a number."""


class Tensor(NamedTuple):
    """Where a tensor is in the file, in bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


class Header(NamedTuple):
    """What a file says about itself."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}


def validate(path: Path) -> Header:
    """Read the header of a file, and check that it describes the whole file.

    Every tensor has a known number format and as many bytes as its shape takes; tensors follow one
    another without overlap and without a hole, to the very end of the file.

    Raises:
        ModelFileError: the file cannot be read, or is cut off, damaged or no safetensors file.
    """
    try:
        # Without waiting, since a pipe would hold up whoever opens it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise damaged(path, "it is no regular file")
            size = status.st_size
            length = _length(path, file.read(_LENGTH.size), size)
            text = file.read(length)
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be read: {error.strerror}.", hint="Check that it is there."
        ) from error
    entries = _entries(path, text)
    metadata = _metadata(path, entries.pop(_METADATA, {}))
    if len(entries) > MAX_TENSORS:
        raise damaged(path, f"it names {len(entries):,} tensors; {MAX_TENSORS:,} are allowed")
    tensors = {name: _tensor(path, name, entry) for name, entry in entries.items()}
    _check_layout(path, tensors, size - _LENGTH.size - length)
    return Header(tensors, metadata)


def damaged(path: Path, what: str) -> ModelFileError:
    """The error for a file that is not what it should be."""
    return ModelFileError(
        f"{path} is damaged or cut off: {what}.", hint="Copy or download the file again."
    )


def _length(path: Path, head: bytes, size: int) -> int:
    if len(head) < _LENGTH.size:
        raise damaged(path, f"it has {len(head)} bytes")
    length: int = _LENGTH.unpack(head)[0]
    if length > MAX_HEADER_BYTES:
        raise damaged(
            path, f"its header takes {length:,} bytes; {MAX_HEADER_BYTES:,} bytes are allowed"
        )
    if length > size - _LENGTH.size:
        raise damaged(path, f"its header takes {length:,} bytes, and the file has {size:,}")
    return length


def _entries(path: Path, text: bytes) -> dict[str, Any]:
    try:
        # RecursionError: brackets within brackets, which no header has.
        value = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its header is no JSON ({str(error)[:100]})") from None
    if not isinstance(value, dict):
        raise damaged(path, "its header is no JSON object")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers may choose differently between two entries of one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _metadata(path: Path, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise damaged(path, f"{_METADATA} is no mapping of text to text")
    return value


def _tensor(path: Path, name: str, entry: Any) -> Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise damaged(path, f"the entry of {name[:80]!r} is not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise damaged(path, f"{name[:80]!r} has the unknown number format {str(dtype)[:20]!r}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise damaged(path, f"{name[:80]!r} has no shape of at most {MAX_DIMENSIONS} whole numbers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise damaged(path, f"{name[:80]!r} has no two offsets")
    tensor = Tensor(dtype, tuple(shape), *offsets)
    if tensor.numbers * BITS[dtype] != (tensor.end - tensor.start) * 8:
        raise damaged(path, f"the offsets of {name[:80]!r} do not fit its shape and number format")
    return tensor


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(each) is int and 0 <= each < 1 << 63 for each in value
    )


def _check_layout(path: Path, tensors: dict[str, Tensor], size: int) -> None:
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if tensor.start != end:
            what = "overlaps the one before" if tensor.start < end else "leaves a hole before it"
            raise damaged(path, f"the tensor {name[:80]!r} {what}")
        end = tensor.end
    if end != size:
        raise damaged(path, f"its tensors take {end:,} bytes, and it has {size:,} for them")
