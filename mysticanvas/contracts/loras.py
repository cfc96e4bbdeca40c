"""LoRAs: low-rank changes to a model's weights, each from a file of its own and with a weight.

In a recipe a LoRA is known by its role, `lora_1` and so on, in the order of the files' digests: the
order in which they were named, and their names, decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict

from mysticanvas.contracts import paths

MOST = 32
ALLOWED = f'a dict of at most {MOST}, such as {{"name or path": 0.8}}, with weights from -10 to 10'
SUFFIX = ".safetensors"
_ROLE = "lora_"
_FILE = re.compile(rf"{_ROLE}([1-9]\d?){re.escape(SUFFIX)}")


def plain(value: Any) -> Any:
    """A numpy scalar as the Python number it holds; anything else as it is."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    return value


# Strict, so that True is not 1.
Weight = Annotated[
    float, BeforeValidator(plain), Strict(), Field(ge=-10, le=10, allow_inf_nan=False)
]
Name = Annotated[
    str,
    Strict(),
    Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$"),
    BeforeValidator(paths.text),
]
Loras = Annotated[dict[Name, Weight], Field(max_length=MOST)]
"""Name or path -> weight."""


def role(number: int) -> str:
    """That of the LoRA with a number, from 1."""
    return f"{_ROLE}{number}"


def digests(files: Mapping[str, str]) -> dict[str, str]:
    """Role -> SHA-256, for the LoRAs among the files of a recipe, in the order of their numbers."""
    found = {int(match[1]): sha for name, sha in files.items() if (match := _FILE.fullmatch(name))}
    return {role(number): found[number] for number in sorted(found)}


def without(files: Mapping[str, str]) -> dict[str, str]:
    """The files of a recipe that are no LoRAs."""
    return {name: each for name, each in files.items() if not _FILE.fullmatch(name)}


def is_path(name: str) -> bool:
    """Whether a LoRA is named by where it lies; `~` alone begins a name as well."""
    begins = name.startswith(("/", "./", "../")) or (name.startswith("~") and "/" in name)
    return begins or name.endswith(SUFFIX)
