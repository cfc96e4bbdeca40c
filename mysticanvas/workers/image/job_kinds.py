"""Which jobs allocate the same to the byte, and what they took."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from mysticanvas.contracts import conditioning, loras
from mysticanvas.contracts.recipe import Recipe

_MOST_KNOWN = 256


class Kind(NamedTuple):
    """Jobs whose allocations are the same to the byte."""

    digest: str
    dtype: str
    width: int
    height: int
    num_images: int
    guided: bool
    several_steps: bool
    scheduler: str
    loras: tuple[str, ...]
    """Digests of their files."""
    negative: bool = True
    """Whether a negative prompt is encoded, if it is guided."""
    tokens: tuple[int, ...] = ()
    """Of prompt and negative prompt, where the pipeline does not fill them up."""

    @classmethod
    def of(cls, digest: str, dtype: str, recipe: Recipe, tokens: tuple[int, ...] = ()) -> Kind:
        params, follows = recipe.params, conditioning.of(recipe.pipeline)
        return cls(
            digest=digest,
            dtype=dtype,
            width=params.width,
            height=params.height,
            num_images=params.num_images,
            guided=follows.is_guided(params.guidance_scale),
            negative=follows.encodes(params.negative_prompt),
            several_steps=params.num_inference_steps > 1,
            scheduler=f"{params.scheduler} {params.scheduler_config}",
            loras=tuple(loras.digests(recipe.model_files).values()),
            tokens=tokens,
        )


class Known:
    """What phases of earlier jobs took; the kinds used last are kept."""

    def __init__(self) -> None:
        self._bytes: OrderedDict[Hashable, int] = OrderedDict()

    def get(self, key: Hashable) -> int | None:
        """Bytes, or None if that is not known."""
        if key in self._bytes:
            self._bytes.move_to_end(key)
        return self._bytes.get(key)

    def keep(self, key: Hashable, size: int) -> None:
        """Remember it."""
        self._bytes[key] = size
        while len(self._bytes) > _MOST_KNOWN:
            self._bytes.popitem(last=False)
