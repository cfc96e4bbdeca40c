"""What every contract type shares: frozen, strict about names, canonical as JSON."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

PROTOCOL = 1
"""Version of the contracts. A client and an orchestrator of different protocols do not talk."""


class Contract(BaseModel):
    """A frozen value that travels as JSON. Unknown members are ignored, so that an older reader
    can read what a newer writer added. The text of an error does not quote what was given, since it
    may end in a log and hold a prompt."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Word(StrEnum):
    """One of a few words. It shows as the text that it is, since notebooks show it."""

    def __repr__(self) -> str:
        return repr(self.value)


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
