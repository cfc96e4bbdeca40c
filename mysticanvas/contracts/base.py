"""What every contract type shares: frozen, strict about names, canonical as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

PROTOCOL = 1
"""Version of the contracts. A client and an orchestrator of different protocols do not talk."""

SHOWN_CHARS = 80
"""Of a text, such as a prompt, where it stands for the whole."""
_FIGURES = ("mib", "memory", "_s")
"""What the names of memory and times end with."""


class Contract(BaseModel):
    """A frozen value that travels as JSON. Unknown members are ignored, so that an older reader
    can read what a newer writer added. The text of an error does not quote what was given, since it
    may end in a log and hold a prompt."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What differs from the default, since notebooks show it; memory and times to a tenth."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            if field is not None and value == field.get_default(call_default_factory=True):
                continue
            is_figure = isinstance(value, float) and (name or "").endswith(_FIGURES)
            yield name, round(value, 1) if is_figure else value


class Word(StrEnum):
    """One of a few words. It shows as the text that it is, since notebooks show it."""

    def __repr__(self) -> str:
        return repr(self.value)


def beginning(text: str) -> str:
    """As much of a text as tells it from others."""
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values have equal text.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def sha256_of(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
