"""How pipelines follow a prompt, by their names."""

from __future__ import annotations

import pytest

from mysticanvas.contracts import conditioning


@pytest.mark.parametrize(
    ("pipeline", "scale", "guided"),
    [
        ("StableDiffusionPipeline", 1.0, False),
        ("StableDiffusionXLPipeline", 1.1, True),
        ("StableDiffusion3Pipeline", 4.0, True),
        ("FluxPipeline", 3.5, False),
        ("QwenImagePipeline", 4.0, False),
        ("ZImagePipeline", 0.0, False),
        ("ZImagePipeline", 0.5, True),
    ],
)
def test_guidance_doubles_the_batch_of_some(pipeline: str, scale: float, guided: bool) -> None:
    assert conditioning.of(pipeline).is_guided(scale) == guided


def test_tokens_are_those_that_a_prompt_is_filled_up_to_or_its_bytes() -> None:
    flux, qwen = conditioning.of("FluxPipeline"), conditioning.of("QwenImagePipeline")
    assert flux.tokens_of("a cat", 512) == 512
    assert qwen.tokens_of("a cat", 512) == 10
    assert qwen.tokens_of("кот", 512) == 11
    assert qwen.tokens_of("cat " * 200, 512) == 512
    z_image = conditioning.of("ZImagePipeline")
    assert [z_image.filled(tokens) for tokens in (1, 32, 33)] == [32, 32, 64]
    assert qwen.filled(33) == 33


def test_an_empty_negative_prompt_is_zeros_to_some() -> None:
    sd, sdxl = (conditioning.of(f"StableDiffusion{name}Pipeline") for name in ("", "XL"))
    assert (sd.encodes(""), sdxl.encodes("")) == (True, False)
    assert sdxl.encodes("blurry")


@pytest.mark.parametrize(
    ("pipeline", "encoder", "tokens", "read"),
    [
        ("StableDiffusionXLPipeline", "CLIPTextModelWithProjection", 77, 77),
        ("FluxPipeline", "T5EncoderModel", 512, 512),
        ("StableDiffusion3Pipeline", "CLIPTextModelWithProjection", 333, 77),
        ("StableDiffusion3Pipeline", "T5EncoderModel", 333, 256),
        ("ZImagePipeline", "Qwen3Model", 20, 512),
        ("QwenImagePipeline", "Qwen2_5_VLForConditionalGeneration", 20, 54),
        # What is cut off for the denoiser is cut off by the encoder much later.
        ("QwenImagePipeline", "Qwen2_5_VLForConditionalGeneration", 512, 1058),
    ],
)
def test_a_text_encoder_does_not_get_what_the_denoiser_gets(
    pipeline: str, encoder: str, tokens: int, read: int
) -> None:
    assert conditioning.of(pipeline).read(encoder, tokens) == read
