"""Libraries that a process does without although they are installed, for a faster start."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def forbid(*names: str) -> None:
    """Have imports of these modules fail from now on, as if they were not installed.

    A module that was imported before is let be.
    """
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python spells it


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Have imports of these modules fail within the context; those imported before are let be."""
    hidden = [name for name in names if name not in sys.modules]
    forbid(*hidden)
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
