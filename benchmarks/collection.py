"""A made-up collection, as it is after years: prompts, tags, dates, recipes, ratings.

Everything follows from the number of pictures: the same number gives the same collection.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from benchmarks.vocabulary import Vocabulary, invented
from mysticanvas.contracts.base import canonical_json, sha256_of
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.recipe import Environment, Recipe, ResolvedParams
from mysticanvas.store import NewImage

VERSION = 2
"""To be raised with every change of what is made, and of how the store keeps it."""

BEGAN = datetime(2023, 1, 1, tzinfo=UTC)
LASTED = timedelta(days=3 * 365)
PROMPT_WORDS = 20
MOST_TAGS = 6
_CHUNK = 5_000

# The frequent words are the short ones. Tags have words of their own.
WORDS = Vocabulary(
    [*invented(500, syllables=2, seed=1), *invented(29_500, syllables=4, seed=2)],
    exponent=1.0,
    draws=[PROMPT_WORDS],
)
# With this exponent the rarest tag of a million pictures is on about a hundred of them.
TAGS = Vocabulary(invented(2_000, syllables=3, seed=3), exponent=1.1, draws=range(MOST_TAGS + 1))
RARE, MID, COMMON = 100 / 1e6, 2_000 / 1e6, 120_000 / 1e6
"""Shares of the pictures: what the figures mean by a rare, a middling and a common word or tag."""

PRESETS = ("sdxl", "sd15", "flux", "anime", "photo", "ink", "pixel", "clay")
STYLES = ("noir", "watercolour", "cinematic", "line art", "isometric", "oil")
PROJECTS = ("default", "castle", "portraits", "textures", "comic")
NEGATIVE = (
    "", "blurry, low quality", "text, watermark, signature", "extra fingers, deformed hands",
    "oversaturated, jpeg artefacts, low contrast",
)  # fmt: skip
PIPELINE, SCHEDULER = "StableDiffusionXLPipeline", "DPMSolverMultistepScheduler"
STEPS, GUIDANCE = 30, 6.5
SIZES = ((512, 512), (768, 768), (1024, 1024), (832, 1216), (1216, 832))
_MODEL_FILES = (
    "model_index.json", "scheduler/scheduler_config.json", "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
)  # fmt: skip
_PROMPT, _NEGATIVE, _SEED = "@prompt@", "@negative@", 8_888_888_888_888


class Entry(NamedTuple):
    """A picture of the collection, as the columns of its row, and its tags."""

    seq: int
    id: str
    job_id: str
    project: str
    prompt: str
    negative_prompt: str
    style: str | None
    preset: str
    model_digest: str
    seed: int
    width: int
    height: int
    recipe: str
    """Canonical JSON."""
    sha256: str
    """Stands for all hashes of this picture."""
    bytes: int
    starred: bool
    rating: int | None
    created_at: datetime
    tags: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"images/{self.sha256[:2]}/{self.sha256}.png"

    def new_image(self) -> NewImage:
        """The same picture, to be recorded."""
        return NewImage(
            id=self.id,
            job_id=self.job_id,
            batch_index=0,
            project=self.project,
            recipe=Recipe.model_validate_json(self.recipe),
            mode="RGB",
            pixels_sha256=self.sha256,
            file=FileRecord(
                path=self.path,
                sha256=self.sha256,
                bytes=self.bytes,
                width=self.width,
                height=self.height,
            ),
            created_at=self.created_at,
        )


def entries(images: int, first: int = 1, salt: int = 0) -> Iterator[Entry]:
    """The pictures of a collection of `images`, in the order of recording.

    Args:
        first: `seq` of the first one.
        salt: another number gives other pictures.
    """
    for start in range(0, images, _CHUNK):
        yield from _chunk(start, min(_CHUNK, images - start), images, first, salt)


def batches(entries: Iterable[Entry], size: int) -> Iterator[Sequence[Entry]]:
    """The same pictures, that many at a time."""
    remaining = iter(entries)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _chunk(start: int, count: int, images: int, first: int, salt: int) -> Iterator[Entry]:
    draw = np.random.default_rng([salt, start])
    prompts = WORDS.draw(draw.random((count, PROMPT_WORDS))).tolist()
    tags = TAGS.draw(draw.random((count, MOST_TAGS))).tolist()
    tag_counts = draw.integers(0, MOST_TAGS + 1, count).tolist()
    moments = (start + np.sort(draw.random(count)) * count) / images
    presets, styles, projects, negative, sizes = (
        _skewed(draw.random(count), len(choices))
        for choices in (PRESETS, STYLES, PROJECTS, NEGATIVE, SIZES)
    )
    styled, starred, rated = draw.random((3, count)).tolist()
    ratings = draw.integers(0, 6, count).tolist()
    seeds = draw.integers(0, 2**53, count).tolist()
    sizes_in_bytes = draw.integers(300_000, 2_500_000, count).tolist()
    tails = draw.bytes(20 * count)
    for n in range(count):
        created_at = BEGAN + LASTED * float(moments[n])
        tail = tails[20 * n : 20 * n + 20]
        words = " ".join([WORDS.names[rank] for rank in prompts[n]])
        preset, (width, height) = PRESETS[presets[n]], SIZES[sizes[n]]
        text = {"prompt": words, "negative": NEGATIVE[negative[n]], "seed": seeds[n]}
        yield Entry(
            seq=first + start + n,
            id=_uuid7(created_at, tail[:10]),
            job_id=_uuid7(created_at, tail[10:]),
            project=PROJECTS[projects[n]],
            prompt=words,
            negative_prompt=NEGATIVE[negative[n]],
            style=STYLES[styles[n]] if styled[n] < 0.4 else None,
            preset=preset,
            model_digest=_model_digest(preset),
            seed=seeds[n],
            width=width,
            height=height,
            recipe=_recipe_form(preset, width, height) % text,
            sha256=hashlib.sha256(tail).hexdigest(),
            bytes=sizes_in_bytes[n],
            starred=starred[n] < 0.05,
            rating=ratings[n] if rated[n] < 0.1 else None,
            created_at=created_at,
            tags=tuple(dict.fromkeys(TAGS.names[rank] for rank in tags[n][: tag_counts[n]])),
        )


def _skewed(random_numbers: np.ndarray, choices: int) -> list[int]:
    """Places among some choices, the first ones more often."""
    return list((random_numbers**2 * choices).astype(int).tolist())


def _uuid7(moment: datetime, tail: bytes) -> str:
    digits = f"{int(moment.timestamp() * 1000):012x}7{tail.hex()[:3]}9{tail.hex()[3:18]}"
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts)


@functools.cache
def _model_files(preset: str) -> dict[str, str]:
    return {path: sha256_of([preset, path]) for path in _MODEL_FILES}


@functools.cache
def _model_digest(preset: str) -> str:
    return sha256_of(_model_files(preset))


@functools.cache
def _recipe_form(preset: str, width: int, height: int) -> str:
    """The JSON of a recipe, with `%`-places for what differs from picture to picture."""
    recipe = Recipe(
        preset=preset,
        pipeline=PIPELINE,
        params=ResolvedParams(
            prompt=_PROMPT,
            negative_prompt=_NEGATIVE,
            width=width,
            height=height,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            seed=_SEED,
            scheduler=SCHEDULER,
            scheduler_config={"use_karras_sigmas": True},
        ),
        model_files=_model_files(preset),
        environment=Environment(
            device="cuda:NVIDIA GeForce RTX 4090",
            dtype="float16",
            threads=8,
            versions={"torch": "2.13.0", "diffusers": "0.42.1", "transformers": "5.23.0"},
        ),
    )
    form = canonical_json(recipe.model_dump(mode="json")).replace("%", "%%")
    places = {_PROMPT: "%(prompt)s", _NEGATIVE: "%(negative)s", str(_SEED): "%(seed)d"}
    for stand_in, place in places.items():
        form = form.replace(stand_in, place)
    return form
