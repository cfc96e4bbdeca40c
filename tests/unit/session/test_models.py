"""`canvas.models` as a notebook shows it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mysticanvas import InvalidRequest
from mysticanvas.contracts.models import FoundModel
from mysticanvas.session.collections.models import Models


@pytest.fixture
def found() -> list[FoundModel]:
    model = FoundModel(
        name="castle", kind="image", layout="diffusers", path="/m/castle", size=3 << 20, source="/m"
    )
    return [model] * 51


def test_a_folder_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    models = Models(SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="There is no folder at /.*/nope"):
        models.add(tmp_path / "nope")


def test_the_table_says_where_models_lie(found: list[FoundModel]) -> None:
    models = Models(SimpleNamespace(call=lambda _: found))  # type: ignore[arg-type]
    shown = models._repr_html_()
    assert shown.count(">/m/castle</td>") == 50
    assert shown.endswith("<p>and 1 more</p>")
    found.clear()
    assert "canvas.models.add(folder)" in models._repr_html_()
