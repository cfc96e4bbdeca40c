"""Files of presets as a kernel writes and reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas import ImagePreset, InvalidRequest
from mysticanvas.contracts import preset_toml
from mysticanvas.session.collections import presets
from mysticanvas.session.connection import Connection

HOLED = ImagePreset(
    name="holed",
    model="/m",
    default_params={"scheduler_config": {"trained_betas": [0.1, None]}},
)


@pytest.mark.fault("a preset that TOML has no words for", "it is named, and no file is left")
def test_a_preset_that_cannot_be_written_leaves_no_file(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = presets.Presets(connection).image
    whole = ImagePreset(name="whole", model="/m")
    monkeypatch.setattr(image, "list", lambda: [whole, HOLED])
    file = tmp_path / "presets.toml"
    with pytest.raises(InvalidRequest, match="'holed'.*None within a list"):
        image.export(file)
    assert not file.exists()
    monkeypatch.setattr(image, "list", lambda: [whole])
    assert preset_toml.read(image.export(file).read_text(), ImagePreset, file) == [whole]


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    preset = ImagePreset(name="a", model="/m")
    file = tmp_path / "presets.toml"
    file.write_text(preset_toml.write([preset]), encoding="utf-8-sig")
    assert preset_toml.read(presets._text(file), ImagePreset, file) == [preset]
