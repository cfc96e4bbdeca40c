"""Signatures that name every keyword, of functions that take them as one `TypedDict`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def spelled_out(keywords: type) -> Callable[[F], F]:
    """Have a function's signature name every member of `keywords`: a notebook completes by it.

    Args:
        keywords: a `TypedDict`, all of whose members may be left out.
    """

    def spell(function: F) -> F:
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_text(of)
            )
            for name, of in keywords.__annotations__.items()
        ]
        spelled = signature.replace(parameters=[*named, *more])
        function.__signature__ = spelled  # type: ignore[attr-defined]
        return function

    return spell


def _text(annotation: Any) -> Any:
    """As the other parameters have theirs: what a `TypedDict` keeps shows as a call to make one."""
    return getattr(annotation, "__forward_arg__", annotation)
