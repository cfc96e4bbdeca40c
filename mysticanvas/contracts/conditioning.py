"""How the pictures of a pipeline follow a prompt, as far as memory depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CLIP_TOKENS = 77
"""Of a CLIP prompt, which is always filled up."""


class Encoder(NamedTuple):
    """How a text encoder is called."""

    tokens: int
    """That it gets: of each prompt, or at most if a template stands before it."""
    template: int | None = None
    """Tokens of a template before those that the denoiser gets; None if prompts are filled up."""
    hidden_states: bool = True
    """Whether those of every layer are asked for."""
    masked: bool = False
    """Whether it is told what of its tokens is filled up."""
    copies: int = 0
    """Of the last of its hidden states, that are made while it is all there."""


class Conditioning(NamedTuple):
    """Of a class of pipelines."""

    guided_above: float | None = 1.0
    """Guidance above which the denoiser looks at the negative prompt in the same batch; None if it
    never does."""
    apart: bool = False
    """Whether it looks at the negative prompt in calls of its own, at each step and whatever the
    guidance is."""
    tokens: int | None = None
    """That a prompt is filled up to, or cut off at; None if its CLIP says so."""
    around: int | None = None
    """Tokens that a template puts around a prompt that is not filled up; None if it is."""
    multiple: int = 1
    """Of what the denoiser fills up the tokens of a prompt, and those of a picture."""
    zeros: bool = False
    """Whether an empty negative prompt is not encoded, and zeros stand for it. Plans know the class
    alone: of a model whose `force_zeros_for_empty_prompt` is false, they count the embeddings of a
    prompt too little for the encoding of texts, about 1 MiB."""
    at_once: bool = False
    """Whether the call that denoises encodes prompts as well, for all pictures, and keeps nothing
    of them beyond itself. Flux does so, too; what it is said to keep is what was measured."""
    encoders: Mapping[str, Encoder] = MappingProxyType({})
    """Class of a text encoder -> how it is called; of others, it gets as many tokens as the
    denoiser, and tells the hidden states of every layer where there are several of them."""

    def is_guided(self, guidance_scale: float) -> bool:
        """Whether the batch is doubled."""
        return self.guided_above is not None and guidance_scale > self.guided_above

    def encodes(self, negative_prompt: str) -> bool:
        """Whether a negative prompt is encoded where there is guidance."""
        return bool(negative_prompt) or not self.zeros

    def tokens_of(self, prompt: str, most: int) -> int:
        """Tokens that the denoiser gets of a prompt: exactly, or at most where only a tokenizer
        could tell, since none is less than a byte.

        Args:
            most: those that it is filled up to or cut off at.
        """
        if self.around is None:
            return most
        return min(most, len(prompt.encode()) + self.around)

    def read(self, architecture: str, tokens: int) -> int:
        """Tokens that a text encoder gets: exactly, or at most as in `tokens_of`.

        Args:
            architecture: its class.
            tokens: that the denoiser gets.
        """
        encoder = self.encoders.get(architecture)
        if encoder is None:
            return tokens
        # What the denoiser does not get any more, the encoder may.
        if encoder.template is None or tokens == self.tokens:
            return encoder.tokens
        return tokens + encoder.template

    def filled(self, tokens: int) -> int:
        """As many tokens as the denoiser makes of so many."""
        return -(-tokens // self.multiple) * self.multiple


_T5_TOKENS = 256
_BY_NAME = {
    "StableDiffusionXL": Conditioning(zeros=True),
    "StableDiffusion3": Conditioning(
        # Of both CLIPs, and of a T5.
        tokens=CLIP_TOKENS + _T5_TOKENS,
        at_once=True,
        encoders={
            "CLIPTextModelWithProjection": Encoder(CLIP_TOKENS),
            "T5EncoderModel": Encoder(_T5_TOKENS, hidden_states=False),
        },
    ),
    # Guidance is a number that the model takes.
    "Flux": Conditioning(guided_above=None, tokens=512),
    "QwenImage": Conditioning(
        guided_above=None,
        apart=True,
        tokens=512,
        around=5,
        at_once=True,
        encoders={
            "Qwen2_5_VLForConditionalGeneration": Encoder(1024 + 34, template=34, copies=3),
        },
    ),
    "ZImage": Conditioning(
        guided_above=0.0,
        tokens=512,
        around=8,
        multiple=32,
        at_once=True,
        encoders={"Qwen3Model": Encoder(512, masked=True)},
    ),
}
"""Beginnings of names of classes, and what their `__call__` does with its defaults."""
_USUAL = Conditioning()


def of(pipeline: str) -> Conditioning:
    """That of a pipeline of diffusers.

    Args:
        pipeline: name of its class, such as `FluxPipeline`.
    """
    found = (each for name, each in _BY_NAME.items() if pipeline.startswith(name))
    return next(found, _USUAL)
