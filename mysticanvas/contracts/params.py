"""What a user may ask of `generate`, and what is allowed.

The kernel checks here before anything is sent, the orchestrator checks again.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)

from mysticanvas import settings
from mysticanvas.contracts import loras, schedulers, tags
from mysticanvas.contracts.base import Contract, canonical_json
from mysticanvas.contracts.loras import Loras, plain as plain
from mysticanvas.contracts.mitigations import MITIGATIONS, Allowed
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.contracts.refusal import missing, refused as refused, unknown
from mysticanvas.errors import InvalidRequest

Priority = Literal["interactive", "background"]

ALLOWED = {
    "prompt": f"text of at most {settings.MAX_PROMPT_CHARS:,} characters",
    "negative_prompt": f"text of at most {settings.MAX_PROMPT_CHARS:,} characters",
    "width": f"a multiple of 8 from 8 to {settings.MAX_SIDE_PX:,} (pixels)",
    "height": f"a multiple of 8 from 8 to {settings.MAX_SIDE_PX:,} (pixels)",
    "num_inference_steps": f"a whole number from 1 to {settings.MAX_STEPS:,}",
    "guidance_scale": "a number from 0 to 100",
    "seed": "a whole number from 0 to 2**63 - 1 (with num_images, to 2**63 - num_images), "
    "or -1 to have one drawn",
    "scheduler": "a name from `canvas.schedulers`: a diffusers class or a usual alias",
    "scheduler_config": "a dict of the scheduler's own configuration names, whose numbers are "
    "finite",
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

KEYWORDS = (*ALLOWED, "after_crash")
"""All that `generate` takes by name; the last is about the job, and no parameter of a picture."""

SYNONYMS = {
    "batch_size": "num_images",
    "cfg": "guidance_scale",
    "cfg_scale": "guidance_scale",
    "generator": "seed",
    "lora": "loras",
    "guidance": "guidance_scale",
    "image_size": "width height",
    "model": "preset",
    "n": "num_images",
    "negative": "negative_prompt",
    "num_images_per_prompt": "num_images",
    "num_steps": "num_inference_steps",
    "resolution": "width height",
    "sampler": "scheduler",
    "size": "width height",
    "steps": "num_inference_steps",
}
"""Names from other tools -> ours, several with a space between."""
_OF_A_CANVAS = {"home", "project"}

_WITHOUT_LIKE = {"control_image", "init_image"}
"""Names from diffusers that look like one of ours, and mean something else."""


_PLANNED = {"image", "mask_image", "pipeline_kwargs", "strength", "style"}
"""Names that a later release gives a meaning."""


def _several(value: Any) -> Any:
    """A text stands for the list of it."""
    return [value] if isinstance(value, str) else value


def _finite(config: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        canonical_json(config)
    except ValueError:
        raise ValueError("NaN and infinity have no place in JSON.") from None
    return config


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
    """-1 has one drawn, whatever the preset says."""
    scheduler: _Text | None = None
    scheduler_config: Annotated[dict[str, JsonValue], AfterValidator(_finite)] | None = None
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

    @model_validator(mode="after")
    def _every_seed_can_be_asked_for(self) -> Self:
        if self.seed is not None and self.seed + self.num_images - 1 > settings.MAX_SEED:
            raise ValueError(
                f"Picture k has seed + k, so {self.num_images} pictures need a seed of at most "
                f"2**63 - {self.num_images}."
            )
        return self

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
    return checked(given)


def checked(given: Mapping[str, Any], where: str = "") -> GenerateParams:
    """Check arguments of `generate` by their names.

    Args:
        where: what stands before a parameter's name in the error, such as `recipe.params.`.

    Raises:
        InvalidRequest: names the parameter, its value and what is allowed.
    """
    try:
        return GenerateParams(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # What is wrong with the whole is about the seed.
        name = str(first["loc"][0]) if first["loc"] else "seed"
        if first["type"] == "missing":
            raise missing(f"{where}{name}", ALLOWED[name]) from None
        hint = str(first["ctx"]["error"]) if first["type"] == "value_error" else ""
        raise refused(f"{where}{name}", given.get(name), ALLOWED[name], hint) from None


def check_resolved(params: ResolvedParams, where: str = "") -> None:
    """Check parameters with nothing left open, which may come from a file of anybody's, by the
    limits of `generate`. Whether the model can have the scheduler is not known here.

    Args:
        where: as of `checked`.

    Raises:
        InvalidRequest: names the parameter, its value and what is allowed.
    """
    names = ResolvedParams.model_fields.keys() - {"scheduler"}
    checked({name: getattr(params, name) for name in names}, where)
    if params.seed < 0:
        raise refused(f"{where}seed", params.seed, "a whole number from 0 to 2**63 - 1")


def check_recipe(recipe: Recipe) -> None:
    """Check what of a recipe decides how it is run, before it is.

    Raises:
        InvalidRequest: names it, such as `recipe.params.width`, its value and what is allowed.
    """
    check_resolved(recipe.params, "recipe.params.")
    last = recipe.params.num_images - 1
    if not 0 <= recipe.batch_index <= last:
        allowed = f"a whole number from 0 to {last}, since the batch has {last + 1}"
        raise refused("recipe.batch_index", recipe.batch_index, allowed)
    unknown = sorted(set(recipe.mitigations) - set(MITIGATIONS))
    if unknown:
        raise refused("recipe.mitigations", unknown[0], f"some of: {', '.join(MITIGATIONS)}")


def unknown_parameter(name: str) -> InvalidRequest:
    """The error for a keyword that does not exist."""
    return unknown(
        name,
        KEYWORDS,
        SYNONYMS,
        alike=name not in _WITHOUT_LIKE | _PLANNED,
        why=" yet; it comes in a later release" if name in _PLANNED else "",
        hint=f"A canvas has it: Canvas({name}=…)." if name in _OF_A_CANVAS else "",
    )


def _did_you_mean(name: str, known: typing.Iterable[str]) -> str:
    lowered = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.lower(), lowered, 1)
    return f"Did you mean {lowered[nearest[0]]!r}?" if nearest else ""
