"""What an image job does, as far as its memory depends on it."""

from __future__ import annotations

from pydantic import Field

from mysticanvas.contracts.base import Contract


class ImageWork(Contract):
    """What of a request decides its memory."""

    width: int = Field(ge=8)
    height: int = Field(ge=8)
    """Pixels of a picture."""
    num_images: int = Field(default=1, ge=1)
    """Made at once."""
    guided: bool = True
    """Whether the denoiser also looks at the negative prompt, in the same batch."""
    guided_apart: bool = False
    """Whether it does so in calls of its own, one after the other."""
    negative: bool = True
    """Whether the negative prompt that it looks at is encoded, and not zeros."""
    tokens: int = Field(default=77, ge=1)
    """Of the prompt, filled up as the pipeline does it."""
    lora_bytes: int = Field(default=0, ge=0)
    """Of adapters beside the weights, in the format that they run in."""
    init_image: bool = False
    mask: bool = False
    tile_px: int | None = Field(default=None, ge=8)
    """Side of the tiles that pictures are decoded in; None for whole ones."""
    sliced: bool = False
    """Whether pictures are decoded one at a time."""
    decode_on_cpu: bool = False
    """Whether they are decoded on the CPU beside the device, and take nothing of it."""
