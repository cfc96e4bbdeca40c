"""What is never written to a log: secrets; and, but for debug lines, prompts."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

SECRETS = frozenset({"token", "secret", "password", "authorization", "cookie"})
PROMPTS = frozenset({"prompt", "negative_prompt", "prompts"})
HIDDEN = "[hidden]"

_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s'\",;)}\]]+")


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: hides the members of a line that must not be in it."""
    debug = event.get("level") == "debug"
    for name, value in event.items():
        lower = name.lower()
        if lower in SECRETS or (lower in PROMPTS and not debug):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = text(value)
    return event


def text(value: str) -> str:
    """A text without the tokens in it."""
    return _BEARER.sub(rf"\g<1>{HIDDEN}", value)
