"""How the pictures of a pipeline follow a prompt, as far as memory depends on it."""

from __future__ import annotations

from typing import NamedTuple

CLIP_TOKENS = 77
"""Of a CLIP prompt, which is always filled up."""


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

    def filled(self, tokens: int) -> int:
        """As many tokens as the denoiser makes of so many."""
        return -(-tokens // self.multiple) * self.multiple


_BY_NAME = {
    "StableDiffusionXL": Conditioning(zeros=True),
    # Of both CLIPs, and of a T5.
    "StableDiffusion3": Conditioning(tokens=CLIP_TOKENS + 256),
    # Guidance is a number that the model takes.
    "Flux": Conditioning(guided_above=None, tokens=512),
    "QwenImage": Conditioning(guided_above=None, apart=True, tokens=512, around=5),
    "ZImage": Conditioning(guided_above=0.0, tokens=512, around=8, multiple=32),
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
