"""Presets: a model under a name, with its parts and its defaults."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    ValidationError,
)

from mysticanvas.contracts import loras, params, paths
from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.loras import Loras
from mysticanvas.contracts.refusal import did_you_mean, missing, nearest, refused
from mysticanvas.errors import InvalidRequest

STARTER = "starter"
"""Name of the preset that ships with the package."""
COMPUTED = frozenset({"revision", "architecture", "vram_weights_mib"})
"""Members that the store gives a preset; what a user puts there does not count."""

Kind = Literal["image", "llm"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
Capability = Literal["chat", "tools", "vision"]

MAX_NAME_CHARS = 200
_IMAGE_DEFAULTS = (
    "negative_prompt",
    "width",
    "height",
    "num_inference_steps",
    "guidance_scale",
    "seed",
    "scheduler",
    "scheduler_config",
)
_LLM_DEFAULTS: dict[str, tuple[type, float, float]] = {
    "temperature": (float, 0, 5),
    "top_p": (float, 0, 1),
    "min_p": (float, 0, 1),
    "top_k": (int, 0, 1_000_000),
    "repeat_penalty": (float, 0, 10),
    "max_tokens": (int, 1, 1_000_000),
    "seed": (int, 0, 2**32 - 1),
}
"""Parameter of a reply -> its type, the least and the most."""

ALLOWED = {
    "name": f"text of 1 to {MAX_NAME_CHARS} characters without '/', '\\' and control characters",
    "model": "the path of a diffusers folder, a .safetensors or a .gguf file, or a hub id such as "
    '"owner/name" or "owner/name@revision"',
    "unet": "the path of a folder, a .safetensors or a .gguf file, or None",
    "vae": "the path of a folder or a .safetensors file, or None",
    "clip": "a path as for `vae`, or several, in the order of the model's text encoders",
    "loras": loras.ALLOWED,
    "dtype": '"auto", "float32", "float16" or "bfloat16"',
    "default_params": f"a dict of: {', '.join(_IMAGE_DEFAULTS)}",
}
"""Member of an image preset -> what is allowed, in the words of the error."""
_LLM_ALLOWED = {
    "name": ALLOWED["name"],
    "model": 'the path of a .gguf file, or a hub id such as "owner/name", '
    '"owner/name@revision" or "owner/name@revision:file.gguf"',
    "mmproj": "the path of a .gguf file that sees for the model, or None",
    "n_ctx": "a whole number from 32 to 16,777,216 (tokens)",
    "n_gpu_layers": "a whole number from -1 (all of them) to 1,000",
    "type_k": "one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0",
    "type_v": "one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0",
    "capabilities": 'some of "chat", "tools" and "vision"',
    "default_params": f"a dict of: {', '.join(_LLM_DEFAULTS)}",
}


def is_name(text: str) -> bool:
    """Whether a preset can have that name."""
    possible = not any(
        character in "/\\" or unicodedata.category(character)[0] == "C" for character in text
    )
    return possible and bool(text.strip()) and len(text) <= MAX_NAME_CHARS


def _name(name: str) -> str:
    if not is_name(name):
        raise ValueError
    return name


def _several(value: Any) -> Any:
    """A text or a path stands for one of it."""
    if isinstance(value, str | PurePath):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _image_defaults(given: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Checked as the arguments of `generate` are."""
    for name in given:
        if name not in _IMAGE_DEFAULTS:
            raise ValueError(_did_you_mean(name, _IMAGE_DEFAULTS, params.SYNONYMS))
    try:
        params.parse(prompt="", **given)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None
    return given


def _llm_defaults(given: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name, value in given.items():
        if name not in _LLM_DEFAULTS:
            raise ValueError(_did_you_mean(name, _LLM_DEFAULTS, {}))
        kind, least, most = _LLM_DEFAULTS[name]
        number = isinstance(value, int | float if kind is float else int)
        if not number or isinstance(value, bool) or not least <= float(str(value)) <= most:
            raise ValueError(f"{name} is a number from {least:,} to {most:,}.")
    return given


_Text = Annotated[str, Strict()]
_Name = Annotated[_Text, Field(max_length=MAX_NAME_CHARS), AfterValidator(_name)]
_Path = Annotated[
    _Text,
    Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$"),
    BeforeValidator(paths.text),
]
_Int = Annotated[int, Strict()]


class Preset(Contract):
    """What presets of every kind share."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    KIND: ClassVar[Kind]
    WORDS: ClassVar[dict[str, str]]
    """Member -> what is allowed."""

    name: _Name
    model: _Path
    revision: int = 0
    """Which of all that the preset has been; 0 before it is saved."""
    architecture: str | None = None
    """Kind of the model, such as a pipeline's class; None until the preset is saved."""
    vram_weights_mib: float | None = None
    """MiB of weights in the number format that they will have; None until they were counted."""

    def __init__(self, /, **given: Any) -> None:
        for name in given:
            if name not in type(self).model_fields:
                hint = _did_you_mean(name, self.WORDS, {})
                raise refused(name, given[name], f"one of: {', '.join(self.WORDS)}", hint)
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            member = str(first["loc"][0])
            hint = str(first["ctx"]["error"]) if first["type"] == "value_error" else ""
            allowed = self.WORDS.get(member, "nothing; it is computed")
            if first["type"] == "missing":
                raise missing(member, allowed) from None
            raise refused(member, given.get(member), allowed, hint) from None

    def replace(self, **changes: Any) -> Self:
        """A copy in which some members are others.

        Raises:
            InvalidRequest: names the member, its value and what is allowed.
        """
        own = {
            name: getattr(self, name) for name in type(self).model_fields if name not in COMPUTED
        }
        return type(self)(**{**own, **changes})


class ImagePreset(Preset):
    """An image model under a name.

    Args:
        name: 1 to 200 characters, without slashes.
        model: path of a diffusers folder or a `.safetensors` checkpoint, as text or `Path`, or a
            hub id; or of a `.gguf` file that holds what denoises, with `vae` and `clip` beside it.
        unet, vae, clip: parts that replace the model's own: folders or files. `unet` is what
            denoises, a diffusion transformer too; `clip` names the text encoders in order, and a
            folder of a pipeline stands for all of its own.
        loras: name of one in an added folder, or path of a `.safetensors` file -> weight, -10 to
            10; 0 leaves it out.
        dtype: number format of weights and activations; `auto` suits the device.
        default_params: arguments of `generate` that are used where none are given.

    Raises:
        InvalidRequest: names the member, its value and what is allowed.
    """

    KIND = "image"
    WORDS = ALLOWED

    unet: _Path | None = None
    vae: _Path | None = None
    clip: Annotated[tuple[_Path, ...], BeforeValidator(_several), Field(max_length=4)] = ()
    loras: Loras = {}
    dtype: Dtype = "auto"
    default_params: Annotated[dict[str, JsonValue], AfterValidator(_image_defaults)] = {}


class LLMPreset(Preset):
    """A language model under a name.

    Args:
        name: 1 to 200 characters, without slashes.
        model: path of a `.gguf` file, or the hub id of a repository in the local cache; with
            `:file.gguf` behind it where there are several files.
        mmproj: path of the `.gguf` file with which the model sees; None if it does not.
        n_ctx: tokens of context, 32 to 16,777,216.
        n_gpu_layers: layers on the GPU; -1 for all.
        type_k, type_v: number formats of the cache of keys and values.
        capabilities: what it is good for, of `chat`, `tools` and `vision`.
        default_params: of replies: temperature, top_p, min_p, top_k, repeat_penalty, max_tokens,
            seed.

    Raises:
        InvalidRequest: names the member, its value and what is allowed.
    """

    KIND = "llm"
    WORDS = _LLM_ALLOWED

    mmproj: _Path | None = None
    n_ctx: Annotated[_Int, Field(ge=32, le=1 << 24)] = 4096
    n_gpu_layers: Annotated[_Int, Field(ge=-1, le=1000)] = -1
    type_k: KvType = "f16"
    type_v: KvType = "f16"
    capabilities: Annotated[tuple[Capability, ...], BeforeValidator(_several)] = ("chat",)
    default_params: Annotated[dict[str, JsonValue], AfterValidator(_llm_defaults)] = {}


AnyPreset = ImagePreset | LLMPreset


class DefaultPreset(Contract):
    """Which preset is used where none is named; None for none."""

    name: _Name | None = None


def _did_you_mean(name: str, known: Iterable[str], synonyms: Mapping[str, str]) -> str:
    return f"There is no {name!r}. {did_you_mean(nearest(name, known, synonyms))}".rstrip()
