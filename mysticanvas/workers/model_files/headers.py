"""What a single file of an image model holds, by its header: safetensors or GGUF."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from mysticanvas.workers.model_files import gguf, safetensors

GGUF = ".gguf"
PLAIN = frozenset({"f32", "f16"})
"""Types in GGUF files whose numbers become those of the format that a model runs in."""


class Contents(NamedTuple):
    """The tensors of a file."""

    shapes: dict[str, tuple[int, ...]]
    """As PyTorch has them."""
    quantised: dict[str, str]
    """Name -> type as ggml calls it, such as `q4_K`, of those that stay as they are in the file."""

    header: gguf.Header | None = None
    """Of a GGUF file."""

    @property
    def gguf_bytes(self) -> int | None:
        """Of all tensors as they are in a GGUF file."""
        return None if self.header is None else sum(each.bytes for each in self.header.tensors)

    @property
    def numbers(self) -> int:
        """In all tensors."""
        return sum(map(math.prod, self.shapes.values()))


def read(path: Path) -> Contents:
    """Read and check the header of a file.

    Raises:
        ModelFileError: it cannot be read, or is cut off, damaged or of neither kind.
    """
    if path.suffix != GGUF:
        return Contents(safetensors.validate(path).shapes, {})
    header = gguf.read(path)
    return Contents(
        # ggml counts from the row outwards.
        {each.name: each.shape[::-1] for each in header.tensors},
        {each.name: each.type for each in header.tensors if each.type not in PLAIN},
        header,
    )
