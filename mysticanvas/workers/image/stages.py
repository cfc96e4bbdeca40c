"""The three stages of a picture: encode the prompt, denoise latents, decode them.

They stand apart, as far as a kind of pipeline is known here, so that one can be repeated without
the others. What they compute is, operation for operation, what a single call of the diffusers
pipeline computes, so the pixels are the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import diffusers
import torch
from PIL import Image

from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.errors import InvalidRequest, ModelFileError
from mysticanvas.workers.image import offload

OnStep = Callable[[int, int, torch.Tensor], None]
"""Called after each step with its number from 1, their count, and the latents (batch first)."""


_PICTURES = ("image", "mask_image", "control_image", "video")
"""Arguments of pipelines that want more than a prompt."""


class Sampled(NamedTuple):
    """What denoising leaves: all that the decoder needs."""

    latents: Any
    generators: Sequence[torch.Generator]


class Stages(Protocol):
    """One way to run a kind of pipeline."""

    encodes: bool
    """Whether `encode` reads the prompts; otherwise `denoise` does it."""
    decodes: bool
    """Whether `decode` makes the pictures; otherwise `denoise` does it."""

    def encode(self, params: ResolvedParams) -> dict[str, Any]:
        """The prompts as keyword arguments of the pipeline."""

    def denoise(
        self,
        encoded: dict[str, Any],
        params: ResolvedParams,
        generators: Sequence[torch.Generator],
        on_step: OnStep,
    ) -> Sampled:
        """Run the steps; an exception of `on_step` ends them."""

    def decode(self, sampled: Sampled) -> list[Image.Image]:
        """The pictures, in the order of the generators."""

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor | None:
        """Latents (batch, channels, height, width) as colours from -1 to 1; None if this kind of
        pipeline has no such latents."""


def of(pipeline: Any) -> Stages:
    """The stages of a loaded pipeline.

    Raises:
        ModelFileError: it needs more than a prompt to make a picture.
    """
    name = type(pipeline).__name__
    # The class itself: another may compute something else.
    if name in _KNOWN and type(pipeline) is getattr(diffusers, name):
        return _KNOWN[name](pipeline)
    return WholePipeline(pipeline)


def decodes(pipeline: str) -> bool:
    """Whether pictures are decoded apart from denoising, by the name of the pipeline's class."""
    return pipeline in _KNOWN


class _LatentStages:
    """What the Stable Diffusion family shares: a pipeline that stops at its latents when told."""

    encodes = decodes = True

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def denoise(
        self,
        encoded: dict[str, Any],
        params: ResolvedParams,
        generators: Sequence[torch.Generator],
        on_step: OnStep,
    ) -> Sampled:
        result = self.pipeline(
            **encoded, **_call(params, generators, on_step), output_type="latent"
        )
        return Sampled(result.images, generators)


class StableDiffusion(_LatentStages):
    """Stable Diffusion 1.x and 2.x."""

    def encode(self, params: ResolvedParams) -> dict[str, Any]:
        prompt, negative = self.pipeline.encode_prompt(
            params.prompt,
            self.pipeline._execution_device,
            1,
            _is_guided(self.pipeline, params),
            params.negative_prompt,
        )
        return {"prompt_embeds": prompt, "negative_prompt_embeds": negative}

    def decode(self, sampled: Sampled) -> list[Image.Image]:
        pipeline, vae = self.pipeline, self.pipeline.vae
        scaled = _beside(vae, sampled.latents) / vae.config.scaling_factor
        pixels = vae.decode(scaled, return_dict=False, generator=list(sampled.generators))[0]
        pixels, blocked = pipeline.run_safety_checker(
            pixels, pipeline._execution_device, sampled.latents.dtype
        )
        shown = [not hit for hit in blocked] if blocked is not None else [True] * len(pixels)
        images: list[Image.Image] = pipeline.image_processor.postprocess(
            pixels, output_type="pil", do_denormalize=shown
        )
        return images

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor | None:
        vae = self.pipeline.vae
        scaled = _beside(vae, latents) / vae.config.scaling_factor
        pixels: torch.Tensor = vae.decode(scaled, return_dict=False)[0]
        return pixels


class StableDiffusionXL(_LatentStages):
    """Stable Diffusion XL: two text encoders, and a VAE that overflows in float16."""

    def encode(self, params: ResolvedParams) -> dict[str, Any]:
        names = (
            "prompt_embeds",
            "negative_prompt_embeds",
            "pooled_prompt_embeds",
            "negative_pooled_prompt_embeds",
        )
        tensors = self.pipeline.encode_prompt(
            prompt=params.prompt,
            device=self.pipeline._execution_device,
            do_classifier_free_guidance=_is_guided(self.pipeline, params),
            # An empty one would be encoded, where the embeddings of none at all are zeros.
            negative_prompt=params.negative_prompt or None,
        )
        return dict(zip(names, tensors, strict=True))

    def decode(self, sampled: Sampled) -> list[Image.Image]:
        pixels = self.decode_latents(sampled.latents)
        if self.pipeline.watermark is not None:
            pixels = self.pipeline.watermark.apply_watermark(pixels)
        images: list[Image.Image] = self.pipeline.image_processor.postprocess(
            pixels, output_type="pil"
        )
        return images

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipeline.vae
        latents = _beside(vae, latents)
        upcast = vae.dtype == torch.float16 and vae.config.force_upcast
        try:
            if upcast:
                vae.to(dtype=torch.float32)
                latents = latents.to(torch.float32)
            pixels: torch.Tensor = vae.decode(_unscaled(vae.config, latents), return_dict=False)[0]
        finally:
            # Also where memory ran out midway: by its first weight it would be in float32 then.
            if upcast:
                offload.put_back(vae, torch.float16)
        return pixels


class WholePipeline:
    """Any other text-to-image pipeline: one call does it all, and counts as denoising."""

    encodes = decodes = False
    _asked: Mapping[str, Any] = {}
    """Arguments of the call beside those that every pipeline gets."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self._names = inspect.signature(type(pipeline).__call__).parameters
        if "prompt" not in self._names:
            raise ModelFileError(
                f"{type(pipeline).__name__} does not make pictures from a prompt.",
                hint="Choose a text-to-image model.",
            )

    def encode(self, params: ResolvedParams) -> dict[str, Any]:
        if params.negative_prompt and "negative_prompt" not in self._names:
            raise InvalidRequest(
                f"{type(self.pipeline).__name__} takes no negative prompt.",
                parameter="negative_prompt",
                value=params.negative_prompt[:80],
                allowed="nothing",
            )
        # Without one, the pipeline's own default counts: to some, an empty one is another.
        negative = {"negative_prompt": params.negative_prompt} if params.negative_prompt else {}
        return {"prompt": params.prompt, **negative}

    def denoise(
        self,
        encoded: dict[str, Any],
        params: ResolvedParams,
        generators: Sequence[torch.Generator],
        on_step: OnStep,
    ) -> Sampled:
        given = {**encoded, **_call(params, generators, on_step), **self._asked}
        try:
            result = self.pipeline(**{name: given[name] for name in given if name in self._names})
        except (ValueError, TypeError, AttributeError) as error:
            wants_more = any(name in self._names for name in _PICTURES)
            what = "no picture from a prompt alone" if wants_more else "no picture of this request"
            raise ModelFileError(
                f"{type(self.pipeline).__name__} makes {what}: {error}",
                hint="Choose a text-to-image model." if wants_more else "Change what it names.",
            ) from error
        return Sampled(result.images, generators)

    def decode(self, sampled: Sampled) -> list[Image.Image]:
        return list(sampled.latents)

    def decode_latents(self, latents: torch.Tensor) -> None:  # noqa: ARG002
        return None


class _Transformer(WholePipeline):
    """What diffusion transformers share: a call that encodes and denoises, and stops at its latents
    when told."""

    decodes = True
    _asked = {"output_type": "latent"}

    def denoise(
        self,
        encoded: dict[str, Any],
        params: ResolvedParams,
        generators: Sequence[torch.Generator],
        on_step: OnStep,
    ) -> Sampled:
        sampled = super().denoise(encoded, params, generators, on_step)
        return sampled._replace(latents=self._unpacked(sampled.latents, params))

    def decode(self, sampled: Sampled) -> list[Image.Image]:
        pixels = self._pixels(_beside(self.pipeline.vae, sampled.latents))
        images: list[Image.Image] = self.pipeline.image_processor.postprocess(
            pixels, output_type="pil"
        )
        return images

    def _unpacked(self, latents: torch.Tensor, params: ResolvedParams) -> torch.Tensor:  # noqa: ARG002
        """The latents as the VAE takes them, of what the denoiser made."""
        return latents

    def _pixels(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipeline.vae
        scaled = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels: torch.Tensor = vae.decode(scaled, return_dict=False)[0]
        return pixels


class StableDiffusion3(_Transformer):
    """Stable Diffusion 3."""


class ZImage(_Transformer):
    """Z-Image, whose latents are wider than its weights."""


class _Patched(_Transformer):
    """Those whose denoiser takes patches of latents as a sequence."""

    def _unpacked(self, latents: torch.Tensor, params: ResolvedParams) -> torch.Tensor:
        unpacked: torch.Tensor = self.pipeline._unpack_latents(
            latents, params.height, params.width, self.pipeline.vae_scale_factor
        )
        return unpacked


class Flux(_Patched):
    """Flux."""


class QwenImage(_Patched):
    """Qwen-Image, whose VAE is one of films: a picture is one of a single frame."""

    def encode(self, params: ResolvedParams) -> dict[str, Any]:
        # An empty one as well: without any, it is not guided.
        return {"prompt": params.prompt, "negative_prompt": params.negative_prompt}

    def _pixels(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipeline.vae
        mean, spread = (
            torch.tensor(given).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
            for given in (vae.config.latents_mean, vae.config.latents_std)
        )
        # Divided by the inverse, as the pipeline does, which rounds otherwise than a product.
        scaled = latents / (1.0 / spread) + mean
        frames: torch.Tensor = vae.decode(scaled, return_dict=False)[0]
        return frames[:, :, 0]


_KNOWN: dict[str, Callable[[Any], Stages]] = {
    "FluxPipeline": Flux,
    "QwenImagePipeline": QwenImage,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "ZImagePipeline": ZImage,
}
"""Class of diffusers -> its stages. By names, since to import one takes what it is made of."""


def _is_guided(pipeline: Any, params: ResolvedParams) -> bool:
    """Whether the pipeline will want negative embeddings; distilled models never do."""
    return params.guidance_scale > 1 and pipeline.unet.config.time_cond_proj_dim is None


def _call(
    params: ResolvedParams, generators: Sequence[torch.Generator], on_step: OnStep
) -> dict[str, Any]:
    def on_step_end(pipeline: Any, index: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(index + 1, pipeline.num_timesteps, tensors["latents"])
        return {}

    return {
        "width": params.width,
        "height": params.height,
        "num_inference_steps": params.num_inference_steps,
        "guidance_scale": params.guidance_scale,
        "num_images_per_prompt": params.num_images,
        "generator": list(generators),
        "callback_on_step_end": on_step_end,
    }


def _beside(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The latents where the VAE computes, which may not be where they were made."""
    return latents.to(offload.computes_on(vae), vae.dtype)


def _unscaled(config: Any, latents: torch.Tensor) -> torch.Tensor:
    scale: float = config.scaling_factor
    means, spreads = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if means is None or spreads is None:
        return latents / scale
    mean = torch.tensor(means).view(1, -1, 1, 1).to(latents.device, latents.dtype)
    spread = torch.tensor(spreads).view(1, -1, 1, 1).to(latents.device, latents.dtype)
    return latents * spread / scale + mean
