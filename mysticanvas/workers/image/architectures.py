"""The models of a pipeline without their weights, and how the stages call them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Model,
    T5EncoderModel,
)

from mysticanvas.contracts import conditioning
from mysticanvas.contracts.conditioning import Encoder
from mysticanvas.contracts.tracing import Dtype, Shape
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import bounds

_REPETITIONS = ("transformer_layers_per_block", "num_layers", "num_single_layers", "n_layers")
"""Settings that say how often a block of a denoiser is repeated."""
_TWICE = 2
_COLOURS = 3
_FILLING = {"ZImageTransformer2DModel": conditioning.of("ZImagePipeline").multiple}
"""Denoiser -> of what it fills up its tokens to a multiple."""


class Tracee(NamedTuple):
    """A model without weights, in the format that it runs in."""

    model: Any
    dtype: torch.dtype

    def blank(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A tensor without numbers."""
        return torch.empty(shape, dtype=dtype or self.dtype, device="meta")


def build(
    library: str, name: str, config: Mapping[str, Any], dtype: torch.dtype, *, whole: bool = False
) -> Tracee:
    """A model by its configuration alone; no memory is taken for its weights.

    Blocks that follow one another and are alike are there twice at most: the third would take over
    the memory of the first.

    Args:
        whole: whether all blocks are there all the same, for their weights.

    Raises:
        ModelFileError: there is no such class here, or it does not take the configuration.
    """
    as_it_is = whole or library == "transformers"
    model = _made(library, name, config if as_it_is else _shortened(config))
    # Not through the class of diffusers, which warns that files would have to be looked at.
    made = torch.nn.Module.to(model.eval(), dtype)
    _same_each_time(made)
    return Tracee(made, dtype)


def _same_each_time(model: Any) -> None:
    """Have a model do the same at each call, whatever sizes it was called with before."""
    kind = type(model)
    if kind is ZImageTransformer2DModel:
        # Its tables are made when they are first used.
        model.rope_embedder(torch.zeros((1, 3), dtype=torch.int32, device="meta"))
    if kind is QwenImageTransformer2DModel:
        _keep_angles(model.pos_embed)


def _keep_angles(embedder: Any) -> None:
    """Angles are made once for each size, and kept as long as the model is: here for as long as
    they would be missed."""
    plain = type(embedder)._compute_video_freqs.__wrapped__
    kept: list[torch.Tensor] = []

    def angles(*arguments: Any) -> torch.Tensor:
        kept[:] = [plain(embedder, *arguments)]
        return kept[0]

    embedder._compute_video_freqs = angles


def size(
    library: str, name: str, config: Mapping[str, Any], dtype: Dtype, kept: Iterable[str] = ()
) -> int:
    """Bytes of a model with all its blocks when it runs in a format.

    Args:
        kept: parts of the names of weights that stay in float32.

    Raises:
        ModelFileError: as `build`.
    """
    model = _made(library, name, config)
    found = 0
    for part, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        runs = torch.float32 if any(each in part for each in kept) else getattr(torch, dtype)
        found += tensor.numel() * (runs if tensor.is_floating_point() else tensor.dtype).itemsize
    return found


def unstored(library: str, name: str, config: Mapping[str, Any]) -> int:
    """Bytes of buffers that no file holds, such as the positions of a CLIP, in 64 bits each.

    Raises:
        ModelFileError: as `build`.
    """
    if name.startswith("CLIP"):
        return 8 * int(config.get("max_position_embeddings", 77))
    if name not in _WITH_TABLES:
        return 0
    model = _made(library, name, config)
    stored = model.state_dict().keys()
    return sum(
        each.numel() * each.itemsize for key, each in model.named_buffers() if key not in stored
    )


def _made(library: str, name: str, config: Mapping[str, Any]) -> Any:
    kind = _class_of(library, name)
    try:
        with torch.device("meta"), bounds.building(name):
            if library == "transformers":
                return kind(kind.config_class.from_dict(dict(config)))
            return kind.from_config(dict(config))
    except ModelFileError:
        raise
    # Whatever a constructor makes of numbers that a file holds.
    except Exception as error:
        raise ModelFileError(
            f"{name} cannot be made from its configuration: {_first_line(error)}",
            hint="The file is damaged, or belongs to another version of the library.",
        ) from error


def encode_text(tracee: Tracee, shape: Shape, *, encoder: Encoder) -> Any:
    """A text encoder, called with one prompt after the other."""
    batch, width = shape.batch, shape.width
    tokens = tracee.blank(batch, width, dtype=torch.int64)
    # As the model would make it of what is filled up, which numbers would tell.
    mask = tracee.blank(batch, 1, width, width, dtype=torch.bool) if encoder.masked else None
    made = tracee.model(tokens, attention_mask=mask, output_hidden_states=encoder.hidden_states)
    return made, [made.hidden_states[-1].clone() for _ in range(encoder.copies)]


def denoise(tracee: Tracee, shape: Shape) -> Any:
    """One call of a UNet or a diffusion transformer."""
    return _DENOISERS[type(tracee.model)](tracee, shape)


def encode_picture(tracee: Tracee, shape: Shape) -> Any:
    """An autoencoder's encoder, which gets the picture that belongs to latents of that size."""
    config = tracee.model.config
    sides = (shape.height * factor_of(config), shape.width * factor_of(config))
    channels = config.get("in_channels", _COLOURS)
    picture = tracee.blank(shape.batch, channels, *_frames(tracee), *sides)
    return tracee.model.encode(picture, return_dict=False)[0].mode()


def decode_picture(tracee: Tracee, shape: Shape) -> Any:
    """An autoencoder's decoder, and the picture brought from -1 … 1 to 0 … 1."""
    frames = _frames(tracee)
    channels = channels_of(tracee.model.config)
    latents = tracee.blank(shape.batch, channels, *frames, shape.height, shape.width)
    pixels = tracee.model.decode(latents, return_dict=False)[0]
    if frames:
        pixels = pixels[:, :, 0]
    return (pixels * 0.5 + 0.5).clamp(0, 1)


def _frames(tracee: Tracee) -> tuple[int, ...]:
    """The side of tensors that is time, for an autoencoder of films."""
    return (1,) if isinstance(tracee.model, AutoencoderKLQwenImage) else ()


def factor_of(config: Mapping[str, Any]) -> int:
    """Pixels of the picture to a pixel of the latents, along a side."""
    halvings = config.get("temperal_downsample")
    return int(2 ** (len(config["block_out_channels"]) - 1 if halvings is None else len(halvings)))


def channels_of(config: Mapping[str, Any]) -> int:
    """Of the latents of an autoencoder."""
    return int(config.get("z_dim") or config.get("latent_channels", 4))


def coarsest(name: str, config: Mapping[str, Any]) -> int:
    """What the sides of the latents have to be multiples of, to be halved without a rest."""
    if name == "UNet2DConditionModel":
        return factor_of(config)
    if name in _FILLING:
        # So that a square has no tokens to be filled up.
        return 16
    return int(config.get("patch_size", 1)) * 2


def filled(name: str, tokens: int) -> int:
    """At least as many tokens of a prompt, which a denoiser does not fill up."""
    multiple = _FILLING.get(name, 1)
    return -(-tokens // multiple) * multiple


def comparable(model: Any) -> list[torch.nn.Module]:
    """The modules in which a denoiser does the same for every shape, if that is not all: one that
    goes through the items of a batch does more for more of them, in between."""
    if type(model) is not ZImageTransformer2DModel:
        return []
    names = ("noise_refiner", "context_refiner", "layers", "all_final_layer")
    return [each for name in names for each in getattr(model, name).children()]


def embedding_of(config: Mapping[str, Any]) -> int:
    """Numbers in the embedding of a token that a denoiser takes."""
    names = ("cross_attention_dim", "joint_attention_dim", "cap_feat_dim")
    return next((int(config[name]) for name in names if config.get(name)), 0)


def _shortened(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _at_most_twice(value) if name in _REPETITIONS else value
        for name, value in config.items()
    }


def _at_most_twice(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_at_most_twice(each) for each in value]
    return min(value, _TWICE) if isinstance(value, int) else value


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


def _qwen_image(tracee: Tracee, shape: Shape) -> Any:
    config = tracee.model.config
    sides = shape.height // 2, shape.width // 2
    return tracee.model(
        hidden_states=tracee.blank(shape.batch, sides[0] * sides[1], config.in_channels),
        encoder_hidden_states=tracee.blank(shape.batch, shape.tokens, config.joint_attention_dim),
        timestep=tracee.blank(shape.batch),
        img_shapes=[[(1, *sides)]] * shape.batch,
        return_dict=False,
    )[0]


def _z_image(tracee: Tracee, shape: Shape) -> Any:
    config = tracee.model.config
    latents = tracee.blank(shape.batch, config.in_channels, 1, shape.height, shape.width)
    captions = [tracee.blank(shape.tokens, config.cap_feat_dim) for _ in range(shape.batch)]
    made = tracee.model(
        list(latents.unbind(dim=0)), tracee.blank(shape.batch), captions, return_dict=False
    )[0]
    return torch.stack([each.float() for each in made])


_DENOISERS: dict[Any, Callable[[Tracee, Shape], Any]] = {
    UNet2DConditionModel: _unet,
    SD3Transformer2DModel: _sd3,
    FluxTransformer2DModel: _flux,
    QwenImageTransformer2DModel: _qwen_image,
    ZImageTransformer2DModel: _z_image,
}
_AUTOENCODERS: tuple[Any, ...] = (AutoencoderKL, AutoencoderKLQwenImage)
_TEXT_ENCODERS: tuple[Any, ...] = (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Model,
    T5EncoderModel,
)
DENOISERS = frozenset(kind.__name__ for kind in _DENOISERS)
AUTOENCODERS = frozenset(kind.__name__ for kind in _AUTOENCODERS)
_WITH_TABLES = frozenset({Qwen2_5_VLForConditionalGeneration.__name__, Qwen3Model.__name__})
"""Text encoders with angles of positions among their buffers."""
PADDING = frozenset({AutoencoderKLQwenImage.__name__})
"""Autoencoders whose convolutions get their inputs with padding around them."""
TEXT_ENCODERS = frozenset(kind.__name__ for kind in _TEXT_ENCODERS)
_CLASSES = {
    "diffusers": {kind.__name__: kind for kind in (*_DENOISERS, *_AUTOENCODERS)},
    "transformers": {kind.__name__: kind for kind in _TEXT_ENCODERS},
}
"""Library -> name -> class: any other attribute of a library is none of a file's business."""


def _class_of(library: str, name: str) -> Any:
    kind = _CLASSES.get(library, {}).get(name)
    if kind is None:
        raise ModelFileError(
            f"What {name} of {library} needs in memory is not known.",
            hint="It can be measured by running it once.",
        )
    return kind


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
