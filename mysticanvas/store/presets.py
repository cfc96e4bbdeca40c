"""Presets of one kind by name, with everything that they have been."""

from __future__ import annotations

import builtins
import json
from collections.abc import Sequence
from typing import Generic, TypeVar

from mysticanvas.contracts.base import canonical_json, sha256_of
from mysticanvas.contracts.presets import COMPUTED, Preset
from mysticanvas.errors import NotFound
from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database, Row
from mysticanvas.store.remembered import Remembered

P = TypeVar("P", bound=Preset)
_SQL = queries.load("presets")
_ALWAYS = {"dtype", "default_params"}
"""Members that the first rows had, so that those of today are equal to them."""


class Presets(Generic[P]):
    """Presets by name.

    Args:
        kind: the class of the presets.
    """

    def __init__(self, database: Database, kind: type[P]) -> None:
        self._database = database
        self._type = kind
        self._kind = kind.KIND
        # Asked for before each job.
        self._by_name: Remembered[str, P | None] = Remembered()
        self._files: Remembered[tuple[str, int], dict[str, str] | None] = Remembered()

    def save(self, preset: P, architecture: str | None = None) -> P:
        """Keep a preset under its name, as a new revision if anything of it is new.

        Args:
            architecture: of its model, if it is known; what was known is kept otherwise.

        Returns:
            It, with its revision.
        """
        return self.save_all([(preset, architecture)])[0]

    def save_all(self, presets: Sequence[tuple[P, str | None]]) -> builtins.list[P]:
        """Keep presets as `save` does, each with its architecture: all of them, or none."""
        with self._database.write() as transaction:
            for preset, architecture in presets:
                key = {"kind": self._kind, "name": preset.name}
                transaction.run(
                    _SQL["save"],
                    **key,
                    model=preset.model,
                    settings=_settings(preset),
                    now=times.now(),
                )
                transaction.run(_SQL["keep_revision"], **key)
                if architecture is not None:
                    transaction.run(_SQL["describe"], **key, architecture=architecture)
        self._by_name.forget()
        return [self.get(preset.name) for preset, _ in presets]

    def get(self, name: str) -> P:
        """The preset of that name.

        Raises:
            NotFound: there is none.
        """
        found = self.known(name)
        if found is None:
            raise NotFound(
                f"There is no preset {name!r}.", hint=f"`canvas.presets.{self._kind}` lists them."
            )
        return found

    def known(self, name: str) -> P | None:
        """The preset of that name; None if there is none."""
        return self._by_name.get(name, lambda: self._read(name))

    def list(self) -> list[P]:
        """All presets, by name."""
        return [self._preset(row) for row in self._database.read(_SQL["all"], kind=self._kind)]

    def delete(self, name: str) -> None:
        """Forget a preset; its revisions stay, since recipes name them.

        Raises:
            NotFound: there is none.
        """
        self.get(name)
        with self._database.write() as transaction:
            transaction.run(_SQL["delete"], kind=self._kind, name=name, now=times.now())
        self._by_name.forget()

    def revisions(self, name: str) -> tuple[P, ...]:
        """Everything that a preset has been, oldest first; also of one that was deleted."""
        rows = self._database.read(_SQL["revisions"], kind=self._kind, name=name)
        return tuple(self._preset(row) for row in rows)

    def weigh(self, preset: P, mib: float | None, weighed: str | None) -> None:
        """Keep what the weights of a preset take, unless it is another by now.

        Args:
            mib: None if it cannot be told, or is to be told anew.
            weighed: of what it was counted, the same text for the same; None to have it counted.
        """
        self._change("weigh", preset, mib=mib, weighed=weighed)
        self._by_name.forget()

    def measured(self, preset: P, mib: float) -> None:
        """Keep what the weights of a preset were measured to take, unless it is another by now, in
        place of what was counted. It is counted anew when something of the preset changes."""
        self._change("measured", preset, mib=mib)
        self._by_name.forget()

    def weighed(self) -> dict[str, str | None]:
        """Name -> of what the weights of a preset were counted; None if they are to be."""
        rows = self._database.read(_SQL["weighed"], kind=self._kind)
        return {row["name"]: row["weighed"] for row in rows}

    def files(self, preset: P) -> dict[str, str] | None:
        """The digests of a preset's files when a job last looked; None if none has."""
        key = preset.name, preset.revision
        return self._files.get(key, lambda: self._read_files(preset))

    def keep_files(self, preset: P, files: dict[str, str]) -> None:
        """Remember the digests of a preset's files."""
        digest, text = sha256_of(files), canonical_json(files)
        self._change("keep_files", preset, digest=digest, files=text, now=times.now())
        self._files.forget()

    def _change(self, statement: str, preset: P, **values: object) -> None:
        """Run a statement about one revision of a preset."""
        key = {"kind": self._kind, "name": preset.name, "revision": preset.revision}
        with self._database.write() as transaction:
            transaction.run(_SQL[statement], **key, **values)

    def _read(self, name: str) -> P | None:
        found = self._database.read(_SQL["by_name"], kind=self._kind, name=name)
        return self._preset(found[0]) if found else None

    def _read_files(self, preset: P) -> dict[str, str] | None:
        found = self._database.read(
            _SQL["files"], kind=self._kind, name=preset.name, revision=preset.revision
        )
        return json.loads(found[0]["files"]) if found else None

    def _preset(self, row: Row) -> P:
        return self._type(
            name=row["name"],
            model=row["model"],
            revision=row["revision"],
            architecture=row["architecture"],
            vram_weights_mib=row["vram_weights_mib"],
            **json.loads(row["settings"]),
        )


def _settings(preset: Preset) -> str:
    given = preset.model_dump(mode="json", exclude={"name", "model", *COMPUTED})
    changed = preset.model_dump(mode="json", exclude_defaults=True).keys() | _ALWAYS
    return canonical_json({name: value for name, value in given.items() if name in changed})
