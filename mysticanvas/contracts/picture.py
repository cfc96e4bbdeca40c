"""What a PNG of ours says about itself, so that the store can be rebuilt from the files.

Two text chunks: `mysticanvas` holds JSON, `parameters` the text that AUTOMATIC1111 and the tools
after it read. Encoding and decoding of chunks is Pillow's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from mysticanvas.contracts.base import Contract, canonical_json
from mysticanvas.contracts.images import Source
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.contracts.tags import TagName

CHUNK = "mysticanvas"
A1111_CHUNK = "parameters"
MAX_CHUNK_CHARS = 1 << 20


class PictureText(Contract):
    """The `mysticanvas` chunk."""

    version: int = 1
    image_id: str
    job_id: str
    project: str
    parent: str | None = None
    source: Source = "generate"
    created_at: datetime
    pixels_sha256: str
    tags: list[TagName] = []
    """Those that it was asked for with."""
    recipe: Recipe


def chunks(text: PictureText) -> dict[str, str]:
    """Keyword -> text, as they go into the PNG."""
    return {
        CHUNK: canonical_json(text.model_dump(mode="json", exclude_none=True)),
        A1111_CHUNK: a1111_parameters(text.recipe),
    }


def pixels_sha256(mode: str, width: int, height: int, pixels: bytes) -> str:
    """SHA-256 over mode, size and raw pixels: equal pixels have equal text, whatever the file."""
    digest = hashlib.sha256(f"{mode} {width}x{height}\n".encode())
    digest.update(pixels)
    return digest.hexdigest()


def read(info: Mapping[Any, Any]) -> PictureText | None:
    """The chunk out of Pillow's `Image.info`; None if there is none or it is not ours."""
    text = info.get(CHUNK)
    if not isinstance(text, str) or len(text) > MAX_CHUNK_CHARS:
        return None
    try:
        return PictureText.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError):
        return None


def a1111_parameters(recipe: Recipe) -> str:
    """The recipe in AUTOMATIC1111's form: prompt, negative prompt, then `Key: value` pairs."""
    params = recipe.params
    digest = _model_digest(recipe.model_files)
    pairs = {
        "Steps": params.num_inference_steps,
        "Sampler": params.scheduler,
        "CFG scale": params.guidance_scale,
        "Seed": recipe.seed,
        "Size": f"{params.width}x{params.height}",
        **({"Model hash": digest[:10]} if digest else {}),
        "Model": recipe.preset,
        "Version": "MystiCanvas",
    }
    lines = [params.prompt]
    if params.negative_prompt:
        lines.append(f"Negative prompt: {params.negative_prompt}")
    lines.append(", ".join(f"{key}: {value}" for key, value in pairs.items()))
    return "\n".join(lines)


def _model_digest(files: Mapping[str, str]) -> str | None:
    """What a model goes by among other tools: the digest of the checkpoint, or that of what
    denoises; None if neither is known."""
    found = (
        sha
        for start in ("model.", "unet", "transformer")
        for path, sha in files.items()
        if path.startswith(start) and path.endswith((".safetensors", ".gguf"))
    )
    return next(found, None)
