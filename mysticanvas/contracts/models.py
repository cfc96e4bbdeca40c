"""Models that are on this machine, found in the folders of the programs that use them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mysticanvas.contracts.base import Contract

ModelKind = Literal["image", "llm", "vae", "clip", "lora", "embedding", "controlnet", "other"]
ModelLayout = Literal["diffusers", "safetensors", "gguf", "pickle"]


class FoundModel(Contract):
    """A model where it lies; nothing is copied."""

    name: str
    """Of the file without its suffix, of the folder, or the hub id."""
    kind: ModelKind
    """By the folder it lies in, and its own name."""
    layout: ModelLayout
    """`pickle` cannot be loaded, and has to be converted."""
    path: str
    size: Annotated[int, Field(ge=0)]
    """Bytes, of a folder all of its files'."""
    source: str
    """The folder that was added, or `hub` for the cache of the Hugging Face hub."""


class ModelFolder(Contract):
    """A folder to look for models in."""

    path: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^/[^\x00]*$")]
