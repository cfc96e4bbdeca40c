"""The presets that ship, kept at every start: an upgrade may have moved the package."""

from __future__ import annotations

import os
from pathlib import Path

from mysticanvas.contracts import preset_toml
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.orchestrator import models
from mysticanvas.store import Store


def keep(store: Store, data: Path) -> None:
    """Keep every preset of the data folder.

    Args:
        data: what ships, with a folder `presets` of TOML files.
    """
    for file in sorted((data / "presets").glob("*.toml")):
        text = file.read_text(encoding="utf-8")
        for preset in preset_toml.read(text, ImagePreset, file):
            model = Path(os.path.normpath(preset.model))
            store.presets.save(preset.replace(model=str(model)), models.pipeline(model))
