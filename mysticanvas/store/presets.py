"""Presets of the image kind; the table has room for others."""

from __future__ import annotations

import json

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import NotFound
from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database, Row

_SQL = queries.load("presets")
_KIND = "image"


class Presets:
    """Presets by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, preset: ImagePreset) -> None:
        """Keep a preset under its name, in place of one that has it."""
        settings = preset.model_dump(mode="json", exclude={"name", "model"})
        with self._database.write() as transaction:
            transaction.run(
                _SQL["save"],
                kind=_KIND,
                name=preset.name,
                model=preset.model,
                settings=canonical_json(settings),
                now=times.now(),
            )

    def get(self, name: str) -> ImagePreset:
        """The preset of that name.

        Raises:
            NotFound: there is none.
        """
        found = self._database.read(_SQL["by_name"], kind=_KIND, name=name)
        if not found:
            raise NotFound(
                f"There is no preset {name!r}.", hint="`canvas.presets.image` lists them."
            )
        return _preset(found[0])

    def list(self) -> list[ImagePreset]:
        """All presets, by name."""
        return [_preset(row) for row in self._database.read(_SQL["all"], kind=_KIND)]


def _preset(row: Row) -> ImagePreset:
    return ImagePreset(name=row["name"], model=row["model"], **json.loads(row["settings"]))
