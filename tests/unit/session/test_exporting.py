"""What `canvas.export` is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mysticanvas import InvalidRequest
from mysticanvas.contracts import exports
from mysticanvas.contracts.ids import new_id
from mysticanvas.session import exporting


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert exporting.params("out.zip", None, "castle").path == str(tmp_path / "out.zip")
    assert exporting.params(Path("~/out"), None, None).path == str(tmp_path / "me" / "out")


def test_pictures_go_by_their_ids_and_none_means_the_project(make_image: Any) -> None:
    image, other = make_image(), new_id()
    assert exporting.params("x", [image, other.upper()], "castle").ids == [image.id, other]
    assert exporting.params("x", None, "castle").project == "castle"
    assert exporting.params("x", None, "castle").ids is None
    assert exporting.params("x", [], None).ids == []


@pytest.mark.parametrize(
    ("path", "images", "parameter"),
    [("", None, "path"), (1, None, "path"), ("x", "text", "images"), ("x", [1], "images"),
     ("x", 1, "images"), ("x", ["1f0a9c2e"], "images"),
     ("x", [new_id()] * (exports.MAX_IDS + 1), "images")],
)  # fmt: skip
def test_what_is_not_allowed_is_refused(path: Any, images: Any, parameter: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        exporting.params(path, images, None)
    assert refused.value.parameter == parameter
