"""The models of a diffusers folder without their weights, and how the stages call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from mysticanvas.contracts.tracing import Phase, Shape
from mysticanvas.errors import ModelFileError

class Tracee(NamedTuple):
    """A model without weights, in the format that it runs in."""

    model: Any
    dtype: torch.dtype

    def blank(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A tensor without numbers."""
        return torch.empty(shape, dtype=dtype or self.dtype, device="meta")


def build(library: str, name: str, config: Mapping[str, Any], dtype: torch.dtype) -> Tracee:
    """A model by its configuration alone; no memory is taken for its weights.

    Raises:
        ModelFileError: there is no such class here, or it does not take the configuration.
    """
    kind = _class_of(library, name)
    try:
        with torch.device("meta"):
            if library == "transformers":
                model = kind(kind.config_class.from_dict(dict(config)))
            else:
                model = kind.from_config(dict(config))
    # Whatever a constructor makes of numbers that a file holds.
    except Exception as error:
        raise ModelFileError(
            f"{name} cannot be made from its configuration: {_first_line(error)}",
            hint="The file is damaged, or belongs to another version of the library.",
        ) from error
    return Tracee(model.eval().to(dtype), dtype)


def encode_text(tracee: Tracee, shape: Shape, *, hidden_states: bool) -> Any:
    """A text encoder, called with one prompt after the other.

    Args:
        hidden_states: whether the pipeline asks for those of every layer.
    """
    tokens = tracee.blank(shape.batch, shape.width, dtype=torch.int64)
    return tracee.model(tokens, output_hidden_states=hidden_states)


def denoise(tracee: Tracee, shape: Shape) -> Any:
    """One call of a UNet or a diffusion transformer."""
    return _DENOISERS[type(tracee.model).__name__](tracee, shape)


def encode_picture(tracee: Tracee, shape: Shape) -> Any:
    """An autoencoder's encoder, which gets the picture that belongs to latents of that size."""
    factor = factor_of(tracee.model.config)
    sides = (shape.height * factor, shape.width * factor)
    picture = tracee.blank(shape.batch, tracee.model.config.in_channels, *sides)
    return tracee.model.encode(picture, return_dict=False)[0].mode()


def decode_picture(tracee: Tracee, shape: Shape) -> Any:
    """An autoencoder's decoder, and the picture brought from -1 … 1 to 0 … 1."""
    latents = tracee.blank(shape.batch, tracee.model.config.latent_channels, shape.height, shape.width)
    pixels = tracee.model.decode(latents, return_dict=False)[0]
    return (pixels * 0.5 + 0.5).clamp(0, 1)


def factor_of(config: Mapping[str, Any]) -> int:
    """Pixels of the picture to a pixel of the latents, along a side."""
    return int(2 ** (len(config["block_out_channels"]) - 1))


def coarsest(name: str, config: Mapping[str, Any]) -> int:
    """What the sides of the latents have to be multiples of, to be halved without a rest."""
    if name == "UNet2DConditionModel":
        return factor_of(config)
    return int(config.get("patch_size", 1)) * 2


def embedding_of(config: Mapping[str, Any]) -> int:
    """Numbers in the embedding of a token that a denoiser takes."""
    width = config.get("cross_attention_dim") or config.get("joint_attention_dim") or 0
    return int(width)


def _unet(tracee: Tracee, shape: Shape) -> Any:
    config = tracee.model.config
    added = None
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {
            "text_embeds": tracee.blank(shape.batch, pooled),
            "time_ids": tracee.blank(shape.batch, 6),
        }
    return tracee.model(
        tracee.blank(shape.batch, config.in_channels, shape.height, shape.width),
        tracee.blank(dtype=torch.int64),
        tracee.blank(shape.batch, shape.tokens, config.cross_attention_dim),
        added_cond_kwargs=added,
        return_dict=False,
    )[0]


def _sd3(tracee: Tracee, shape: Shape) -> Any:
    config = tracee.model.config
    return tracee.model(
        hidden_states=tracee.blank(shape.batch, config.in_channels, shape.height, shape.width),
        encoder_hidden_states=tracee.blank(shape.batch, shape.tokens, config.joint_attention_dim),
        pooled_projections=tracee.blank(shape.batch, config.pooled_projection_dim),
        timestep=tracee.blank(shape.batch),
        return_dict=False,
    )[0]


def _flux(tracee: Tracee, shape: Shape) -> Any:
    config = tracee.model.config
    patches = shape.height * shape.width // 4
    return tracee.model(
        hidden_states=tracee.blank(shape.batch, patches, config.in_channels),
        encoder_hidden_states=tracee.blank(shape.batch, shape.tokens, config.joint_attention_dim),
        pooled_projections=tracee.blank(shape.batch, config.pooled_projection_dim),
        timestep=tracee.blank(shape.batch),
        img_ids=tracee.blank(patches, 3),
        txt_ids=tracee.blank(shape.tokens, 3),
        guidance=tracee.blank(shape.batch) if config.guidance_embeds else None,
        return_dict=False,
    )[0]


_DENOISERS: dict[str, Callable[[Tracee, Shape], Any]] = {
    "UNet2DConditionModel": _unet,
    "SD3Transformer2DModel": _sd3,
    "FluxTransformer2DModel": _flux,
}
DENOISERS = frozenset(_DENOISERS)
AUTOENCODERS = frozenset({"AutoencoderKL"})
TEXT_ENCODERS = frozenset({"CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"})


def _class_of(library: str, name: str) -> Any:
    # The tables first: any other attribute of a library is none of a file's business.
    if library == "diffusers" and name in DENOISERS | AUTOENCODERS:
        import diffusers

        return getattr(diffusers, name)
    if library == "transformers" and name in TEXT_ENCODERS:
        import transformers

        return getattr(transformers, name)
    raise ModelFileError(
        f"What {name} of {library} needs in memory is not known.",
        hint="It can be measured by running it once.",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
