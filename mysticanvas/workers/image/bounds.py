"""How much a configuration can ask for. It is a file of strangers, and a number in it decides how
often a library repeats a block, or how long a table is, before any weight is looked at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.nn.modules.module import register_module_module_registration_hook

from mysticanvas.errors import ModelFileError

LARGEST = 10**8
"""Of whole numbers: vocabularies and contexts have millions at most."""
MOST_MODULES = 30_000
"""Of a pipeline, parts of parts included: ten times those of the largest whose configuration ships.
So many are made in seconds."""
_HINT = "The file is damaged, or made to do harm. Copy or download the model again."


def check(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a configuration with a number that none of a model is as large as.

    Args:
        path: of its file, for the message.

    Raises:
        ModelFileError: so it is.
    """
    for name, value in _numbers(config):
        if abs(value) > LARGEST:
            raise ModelFileError(
                f"{path}: the number {name[:80]!r} is beyond {LARGEST:,}, and none of a model is.",
                hint=_HINT,
            )


@contextmanager
def building(what: str) -> Iterator[None]:
    """Have the libraries build no more modules in this process than a model can have.

    Args:
        what: is built, for the message.

    Raises:
        ModelFileError: a configuration asks for more.
    """
    built = itertools.count(1)

    def register(*_: object) -> None:
        if next(built) > MOST_MODULES:
            raise ModelFileError(
                f"{what} asks for more than {MOST_MODULES:,} layers and parts of layers.",
                hint=_HINT,
            )

    hook = register_module_module_registration_hook(register)
    try:
        yield
    finally:
        hook.remove()


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Name and value of the whole numbers in it, at whatever depth."""
    left: list[tuple[str, Any]] = [("", config)]
    while left:
        name, value = left.pop()
        if isinstance(value, Mapping):
            left += value.items()
        elif isinstance(value, list):
            left += [(name, each) for each in value]
        elif isinstance(value, int):
            yield name, value
