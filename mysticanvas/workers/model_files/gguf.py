"""The header of a GGUF file: metadata, and where which tensor lies.

The layout is that of the GGUF specification, versions 2 and 3, little-endian: magic, version,
counts, metadata as typed key-value pairs, tensor descriptions, padding, tensor data. Every count,
length and offset is checked against a bound and against the file before it is used.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.model_files import ggml

MAX_HEADER_BYTES = 128 << 20
"""The largest vocabularies take a tenth of it."""
MAX_KEYS = 4096
MAX_TENSORS = 65_536
MAX_ELEMENTS = 4_000_000
"""Elements of all arrays of a header together: texts among them take half a microsecond each."""
MAX_KEPT = 4096
"""Elements of an array up to which its values are kept: one a layer, but no vocabulary."""
MAX_DIMENSIONS = 4
MAX_NAME_BYTES = 63
"""Of a tensor's name, as in ggml."""
MAX_KEY_BYTES = 65_535
MAX_TEXT_BYTES = 4 << 20
"""Of a text in the metadata, such as a chat template."""
MAX_ALIGNMENT = 1 << 16

Scalar = int | float | bool | str
_VERSIONS = (2, 3)
_CHUNK = 4 << 20
_STRING, _ARRAY = 8, 9
_FORMATS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip


class Tensor(NamedTuple):
    """A tensor as the header describes it."""

    name: str
    shape: tuple[int, ...]
    """Elements a dimension, that of a row first."""
    type: str
    """As ggml calls it, such as `q4_K`."""
    offset: int
    """Of its first byte, from the start of the file."""
    bytes: int


class Header(NamedTuple):
    """What a GGUF file says about itself, checked."""

    values: dict[str, Scalar]
    arrays: dict[str, tuple[Scalar, ...]]
    """Short arrays; a longer one has its length alone."""
    lengths: dict[str, int]
    """Elements of every array."""
    tensors: tuple[Tensor, ...]
    file_bytes: int


def read(path: Path) -> Header:
    """Read and check a header; the tensors' data is not read.

    Args:
        path: of a `.gguf` file.

    Raises:
        ModelFileError: it cannot be read, is no GGUF file, is cut off, or says what no sound file
            says.
    """
    try:
        # A pipe would block whoever opens it.
        if not path.is_file():
            raise ModelFileError(f"{path} is not a file.", hint="Give the path of a .gguf file.")
        with path.open("rb") as file:
            return _Parser(path, file, path.stat().st_size).parse()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error


class _Parser:
    """Walks through a header once, from front to back."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path = path
        self._file = file
        self._size = size
        self._data = bytearray()
        self._at = 0
        self._elements = 0

    def parse(self) -> Header:
        if self._take(4) != b"GGUF":
            raise self._bad("it does not begin with GGUF", "Only GGUF files can be loaded here.")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise self._bad(f"its version is {version}, and 2 and 3 are known")
        tensors = self._count("<Q", MAX_TENSORS, "tensors")
        keys = self._count("<Q", MAX_KEYS, "metadata keys")
        values: dict[str, Scalar] = {}
        arrays: dict[str, tuple[Scalar, ...]] = {}
        lengths: dict[str, int] = {}
        for _ in range(keys):
            key = self._text(MAX_KEY_BYTES, "a metadata key")
            if not key or key in values or key in lengths:
                raise self._bad(f"the metadata key {key[:80]!r} is empty or there twice")
            kind = self._number("<I")
            if kind == _ARRAY:
                lengths[key], kept = self._array(key)
                if kept is not None:
                    arrays[key] = kept
            else:
                values[key] = self._scalar(kind, key)
        described = [self._tensor() for _ in range(tensors)]
        placed = self._place(described, self._alignment(values))
        return Header(values, arrays, lengths, placed, self._size)

    def _alignment(self, values: dict[str, Scalar]) -> int:
        alignment = values.get("general.alignment", 32)
        if (
            not isinstance(alignment, int)
            or not 1 <= alignment <= MAX_ALIGNMENT
            or alignment & (alignment - 1)
        ):
            raise self._bad(f"general.alignment is {alignment!r}, not a power of two up to 65536")
        return alignment

    def _array(self, key: str) -> tuple[int, tuple[Scalar, ...] | None]:
        """The length of an array, and its values unless there are too many."""
        kind = self._number("<I")
        length = self._count("<Q", MAX_ELEMENTS - self._elements, f"elements in {key[:80]!r}")
        self._elements += length
        if kind == _STRING and length > MAX_KEPT:
            self._skip_texts(length)
            return length, None
        if kind == _STRING:
            return length, tuple(self._text(MAX_TEXT_BYTES, "a text") for _ in range(length))
        code = self._format(kind, key)
        data = self._take(length * struct.calcsize(code))
        if length > MAX_KEPT:
            return length, None
        return length, struct.unpack(f"<{length}{code[1]}", data)

    def _scalar(self, kind: int, key: str) -> Scalar:
        if kind == _STRING:
            return self._text(MAX_TEXT_BYTES, f"the text of {key[:80]!r}")
        value: Scalar = self._unpacked(self._format(kind, key))
        return value

    def _skip_texts(self, count: int) -> None:
        length = struct.Struct("<Q")
        for _ in range(count):
            self._reach(self._at + length.size)
            self._at += length.size + length.unpack_from(self._data, self._at)[0]
        self._reach(self._at)

    def _format(self, kind: int, key: str) -> str:
        if kind not in _FORMATS:
            raise self._bad(f"the metadata key {key[:80]!r} has the unknown type {kind}")
        return _FORMATS[kind]

    def _tensor(self) -> Tensor:
        """A tensor whose offset is still from the start of the data."""
        name = self._text(MAX_NAME_BYTES, "the name of a tensor")
        dimensions = self._number("<I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self._bad(f"the tensor {name!r} has {dimensions} dimensions, not 1 to 4")
        shape: tuple[int, ...] = struct.unpack(f"<{dimensions}Q", self._take(8 * dimensions))
        if not all(shape):
            raise self._bad(f"the tensor {name!r} has a dimension without elements")
        number, offset = self._number("<I"), self._number("<Q")
        kind = ggml.TYPES.get(number)
        if kind is None:
            raise self._bad(f"the tensor {name!r} has the unknown type {number}")
        if shape[0] % kind.block:
            raise self._bad(
                f"a row of the tensor {name!r} has {shape[0]} elements, which are no whole blocks "
                f"of {kind.name} ({kind.block})"
            )
        size = kind.row_bytes(shape[0])
        for length in shape[1:]:
            size *= length
        return Tensor(name, shape, kind.name, offset, size)

    def _place(self, tensors: list[Tensor], alignment: int) -> tuple[Tensor, ...]:
        """The tensors with their places in the file: one behind the other, and all inside it."""
        start = _padded(self._at, alignment)
        names, expected = set(), 0
        placed = []
        for tensor in tensors:
            if tensor.name in names:
                raise self._bad(f"the tensor {tensor.name!r} is there twice")
            names.add(tensor.name)
            if tensor.offset != expected:
                raise self._bad(
                    f"the tensor {tensor.name!r} lies at {tensor.offset}, and the ones before it "
                    f"end at {expected}"
                )
            if start + tensor.offset + tensor.bytes > self._size:
                raise self._bad(
                    f"the tensor {tensor.name!r} ends at byte "
                    f"{start + tensor.offset + tensor.bytes}, and the file at {self._size}",
                    "Download or copy it again, completely.",
                )
            expected = _padded(tensor.offset + tensor.bytes, alignment)
            placed.append(tensor._replace(offset=start + tensor.offset))
        return tuple(placed)

    def _count(self, code: str, most: int, what: str) -> int:
        count = self._number(code)
        if count > most:
            raise self._bad(f"it claims {count} {what}, and {most} are allowed")
        return count

    def _number(self, code: str) -> int:
        value: int = self._unpacked(code)
        return value

    def _unpacked(self, code: str) -> Any:
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _text(self, most: int, what: str) -> str:
        length = self._number("<Q")
        if length > most:
            raise self._bad(f"{what} has {length} bytes, and {most} are allowed")
        return self._take(length).decode("utf-8", "replace")

    def _take(self, count: int) -> bytes:
        start, end = self._at, self._at + count
        self._reach(end)
        self._at = end
        return bytes(self._data[start:end])

    def _reach(self, end: int) -> None:
        """Have the header in memory up to there."""
        if end > MAX_HEADER_BYTES:
            raise self._bad(f"its header is longer than {MAX_HEADER_BYTES} bytes")
        while len(self._data) < end:
            if not (chunk := self._file.read(_CHUNK)):
                raise self._bad("it ends within its header", "Download or copy it again.")
            self._data += chunk

    def _bad(self, why: str, hint: str = "Download it again, or take another file.") -> Exception:
        return ModelFileError(f"{self._path} is not a sound GGUF file: {why}.", hint=hint)


def _padded(count: int, alignment: int) -> int:
    return -(-count // alignment) * alignment
