"""What a user may ask of `generate`, and what is allowed.

The kernel checks here before anything is sent, the orchestrator checks again.
"""

from __future__ import annotations

import difflib
import typing
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    ValidationError,
    field_validator,
)

from mysticanvas import settings
from mysticanvas.contracts import loras, schedulers, tags
from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.loras import Loras, plain as plain
from mysticanvas.contracts.mitigations import Allowed
from mysticanvas.contracts.refusal import missing, refused as refused
from mysticanvas.errors import InvalidRequest

Priority = Literal["interactive", "background"]

ALLOWED = {
    "prompt": f"text of at most {settings.MAX_PROMPT_CHARS:,} characters",
    "negative_prompt": f"text of at most {settings.MAX_PROMPT_CHARS:,} characters",
    "width": f"a multiple of 8 from 8 to {settings.MAX_SIDE_PX:,} (pixels)",
    "height": f"a multiple of 8 from 8 to {settings.MAX_SIDE_PX:,} (pixels)",
    "num_inference_steps": f"a whole number from 1 to {settings.MAX_STEPS:,}",
    "guidance_scale": "a number from 0 to 100",
    "seed": "a whole number from 0 to 2**63 - 1, or -1 to have one drawn",
    "scheduler": "a name from `canvas.schedulers`: a diffusers class or a usual alias",
    "scheduler_config": "a dict of the scheduler's own configuration names",
    "num_images": f"a whole number from 1 to {settings.MAX_IMAGES_PER_JOB}",
    "preset": "an image preset or its name, the path of a diffusers folder or a .safetensors file, "
    'or a hub id such as "owner/name"',
    "loras": loras.ALLOWED,
    "tags": f"a name, or a list of at most {tags.MAX_NAMES}, each {tags.ALLOWED}",
    "priority": '"interactive" or "background"',
    "mitigations": '"auto", "exact" (only those that keep the pixels) or "none"',
    "reuse": "True or False",
}
"""Parameter -> what is allowed, in the words of the error."""

SYNONYMS = {
    "batch_size": "num_images",
    "cfg": "guidance_scale",
    "cfg_scale": "guidance_scale",
    "generator": "seed",
    "lora": "loras",
    "guidance": "guidance_scale",
    "model": "preset",
    "n": "num_images",
    "negative": "negative_prompt",
    "num_images_per_prompt": "num_images",
    "num_steps": "num_inference_steps",
    "sampler": "scheduler",
    "size": "width",
    "steps": "num_inference_steps",
}
"""Names from other tools -> ours."""


def _several(value: Any) -> Any:
    """A text stands for the list of it."""
    return [value] if isinstance(value, str) else value


# Strict, so that True is not 1 and "7" is not 7.
_Int = Annotated[int, BeforeValidator(plain), Strict()]
_Float = Annotated[float, BeforeValidator(plain), Strict()]
_Text = Annotated[str, Strict()]
_Prompt = Annotated[_Text, Field(max_length=settings.MAX_PROMPT_CHARS)]
_Tags = Annotated[
    list[tags.TagName],
    Field(max_length=tags.MAX_NAMES),
    BeforeValidator(_several),
    AfterValidator(tags.distinct),
]
_Side = Annotated[_Int, Field(ge=8, le=settings.MAX_SIDE_PX, multiple_of=8)]


class GenerateParams(Contract):
    """A request for pictures as the user gave it; None means "not given"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: _Prompt
    negative_prompt: _Prompt | None = None
    width: _Side | None = None
    height: _Side | None = None
    num_inference_steps: Annotated[_Int, Field(ge=1, le=settings.MAX_STEPS)] | None = None
    guidance_scale: Annotated[_Float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    seed: Annotated[_Int, Field(ge=-1, le=settings.MAX_SEED)] | None = None
    scheduler: _Text | None = None
    scheduler_config: dict[str, JsonValue] | None = None
    num_images: Annotated[_Int, Field(ge=1, le=settings.MAX_IMAGES_PER_JOB)] = 1
    preset: Annotated[_Text, Field(min_length=1, max_length=4096)] | None = None
    loras: Loras = {}
    """Added to the preset's; the same one gets this weight, and 0 leaves it out."""
    tags: _Tags = []
    """What the pictures are filed under; no part of the request's hash."""
    priority: Priority = "interactive"
    mitigations: Allowed = "auto"
    """What may be done if memory runs out; no part of the request's hash."""
    reuse: Annotated[bool, Strict()] = False

    @field_validator("seed")
    @classmethod
    def _minus_one_is_not_given(cls, seed: int | None) -> int | None:
        return None if seed == -1 else seed

    @field_validator("scheduler")
    @classmethod
    def _known_scheduler(cls, name: str | None) -> str | None:
        if name is not None and schedulers.resolve(name) is None:
            raise ValueError(_did_you_mean(name, schedulers.NAMES))
        return name


def parse(**given: Any) -> GenerateParams:
    """Check the arguments of `generate`.

    Raises:
        InvalidRequest: names the parameter, its value and what is allowed; for an unknown name,
            the nearest one.
    """
    unknown = given.keys() - GenerateParams.model_fields.keys()
    if unknown:
        raise unknown_parameter(min(unknown))
    try:
        return GenerateParams(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        parameter = str(first["loc"][0])
        if first["type"] == "missing":
            raise missing(parameter, ALLOWED[parameter]) from None
        hint = str(first["ctx"]["error"]) if first["type"] == "value_error" else ""
        raise refused(parameter, given.get(parameter), ALLOWED[parameter], hint) from None


def unknown_parameter(name: str) -> InvalidRequest:
    """The error for a keyword that does not exist."""
    nearest = SYNONYMS.get(name) or next(iter(difflib.get_close_matches(name, ALLOWED, 1)), "")
    return InvalidRequest(
        f"There is no parameter {name!r}.",
        hint=f"Did you mean {nearest!r}?" if nearest else f"There are: {', '.join(ALLOWED)}.",
        parameter=name,
        allowed=nearest or ", ".join(ALLOWED),
    )


def _did_you_mean(name: str, known: typing.Iterable[str]) -> str:
    lowered = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.lower(), lowered, 1)
    return f"Did you mean {lowered[nearest[0]]!r}?" if nearest else ""
