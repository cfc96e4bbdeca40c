"""How much of a prompt the text encoders of a pipeline read: what is beyond that, they cut off."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from mysticanvas.contracts import conditioning
from mysticanvas.contracts.recipe import ResolvedParams

_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
_MOST = "max_sequence_length"
"""The argument of a pipeline's call that says what an encoder other than a CLIP reads."""


class Read(NamedTuple):
    """What is read of a text, in tokens."""

    read: int
    tokens: int


def notices(pipeline: Any, params: ResolvedParams) -> list[str]:
    """What the user should know: a sentence for each prompt that was not read to its end."""
    told = []
    for name, text in {"prompt": params.prompt, "negative prompt": params.negative_prompt}.items():
        read, tokens = of(pipeline, text or "")
        if read < tokens:
            told.append(
                f"Of the {name}, the first {read:,} of {tokens:,} tokens were read: "
                "this model takes no more."
            )
    return told


def lengths(pipeline: Any, params: ResolvedParams) -> tuple[int, ...]:
    """Tokens of prompt and negative prompt, as far as they decide what a job allocates: none where
    the pipeline fills them up."""
    if conditioning.of(type(pipeline).__name__).around is None:
        return ()
    texts = [text or "" for text in (params.prompt, params.negative_prompt)]
    return tuple(
        len(tokenizer(text, add_special_tokens=False).input_ids)
        for tokenizer, _ in _readers(pipeline)
        for text in texts
    )


def of(pipeline: Any, text: str) -> Read:
    """What is read of a text by the encoder that reads most of it; all where that is not known."""
    reads = [
        Read(min(tokens, most), tokens)
        for tokenizer, most in _readers(pipeline)
        for tokens in [_count(tokenizer, text, most)]
    ]
    return max(reads, key=lambda each: each.read / max(1, each.tokens), default=Read(0, 0))


def _readers(pipeline: Any) -> Iterator[tuple[Any, int]]:
    """The tokenizers of which it is known how many tokens of a text their encoders read."""
    argument = inspect.signature(type(pipeline).__call__).parameters.get(_MOST)
    for encoder_name, name in zip(_ENCODERS, _TOKENIZERS, strict=True):
        encoder, tokenizer = getattr(pipeline, encoder_name, None), getattr(pipeline, name, None)
        if encoder is None or tokenizer is None:
            continue
        is_clip = encoder.config.model_type.startswith("clip")
        most = tokenizer.model_max_length if is_clip else argument and argument.default
        if isinstance(most, int):
            yield tokenizer, most - tokenizer.num_special_tokens_to_add()


def _count(tokenizer: Any, text: str, most: int) -> int:
    """The tokens of a text; its bytes if they are few enough, since no token is less."""
    few = len(text.encode())
    return few if few <= most else len(tokenizer(text, add_special_tokens=False).input_ids)
