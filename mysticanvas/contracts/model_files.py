"""The files of a model, and what the process that reads their headers says of one."""

from __future__ import annotations

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.llm import LanguageModel
from mysticanvas.contracts.problem import Problem


class HashedFile(Contract):
    """A file of a model, as it was when its digest was taken."""

    path: str
    """An absolute one."""
    sha256: str
    """64 hexadecimal digits."""
    size: int
    """In bytes."""
    mtime_ns: int
    inode: int


class ModelFiles(Contract):
    """An image model as files on this machine.

    `unet`, `vae` and `clip` are folders or files of parts that replace the model's own; `clip`
    names the text encoders in order. `loras` are files of LoRAs, in the order of their roles.
    """

    path: str
    """A diffusers folder or a single file, `.safetensors` or `.gguf`."""
    unet: str | None = None
    vae: str | None = None
    clip: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    hashed: tuple[HashedFile, ...] = ()
    """Those that have to be what they were, LoRAs included, or nothing is loaded."""


class Inspection(Contract):
    """A single file: what it is, or why it is nothing that can be loaded."""

    architecture: str | None = None
    """Name of a folder in the package's `architectures`."""
    numbers: int = 0
    """How many numbers its tensors have."""
    weights_bytes: int | None = None
    """Bytes of its tensors as they are loaded; None if that depends on who loads them."""
    is_lora: bool = False
    """Whether it changes a model, and is none itself."""
    gguf_architecture: str | None = None
    """What a GGUF file says that it is of, such as `llama`, `flux` or `clip`."""
    language: LanguageModel | None = None
    """The language model that a GGUF file holds."""
    not_language: Problem | None = None
    """Why a GGUF file holds none."""
    problem: Problem | None = None
    unread: bool = False
    """Whether that is because the system would not have it read, as where a right is missing."""
