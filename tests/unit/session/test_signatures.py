"""Signatures that a notebook completes by."""

from __future__ import annotations

import inspect

import pytest

from mysticanvas import Canvas
from mysticanvas.contracts.params import GenerateParams
from mysticanvas.session.arguments import Keywords


@pytest.mark.parametrize("call", [Canvas.generate, Canvas.submit, Canvas.plan])
def test_every_keyword_of_a_request_is_named(call: object) -> None:
    parameters = inspect.signature(call).parameters  # type: ignore[arg-type]
    assert list(parameters)[:3] == ["self", "prompt", "num_images"]
    assert parameters.keys() == {"self", "prompt", "num_images", *Keywords.__annotations__}
    assert parameters.keys() >= GenerateParams.model_fields.keys()
    assert all(each.kind is not each.VAR_KEYWORD for each in parameters.values())
    assert "ForwardRef" not in str(inspect.signature(call))  # type: ignore[arg-type]
