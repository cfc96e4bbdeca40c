"""`canvas.models` as a notebook shows it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mysticanvas.contracts.models import FoundModel
from mysticanvas.session.collections.models import Models


@pytest.fixture
def found() -> list[FoundModel]:
    model = FoundModel(
        name="castle", kind="image", layout="diffusers", path="/m/castle", size=3 << 20, source="/m"
    )
    return [model] * 51


def test_the_table_says_where_models_lie(found: list[FoundModel]) -> None:
    models = Models(SimpleNamespace(call=lambda _: found))  # type: ignore[arg-type]
    shown = models._repr_html_()
    assert shown.count(">/m/castle</td>") == 50
    assert shown.endswith("<p>and 1 more</p>")
    found.clear()
    assert "canvas.models.add(folder)" in models._repr_html_()
