"""Presets of language models as the routes need them: checked and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mysticanvas.contracts.presets import LLMPreset
from mysticanvas.errors import PresetError
from mysticanvas.orchestrator import hub, parts
from mysticanvas.orchestrator.presets import checked_each
from mysticanvas.store import Store


class LLMPresets:
    """The presets of a home's language models.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, preset: LLMPreset) -> LLMPreset:
        """Keep a preset whose files are there.

        Raises:
            PresetError: a file is not there, or is no GGUF file by its name.
        """
        return self._store.llm_presets.save(*self._checked(preset))

    def save_all(self, presets: Sequence[LLMPreset]) -> list[LLMPreset]:
        """Check presets as `save` does, and keep them: all of them, or none.

        Raises:
            PresetError: as `save`, with the preset's name.
        """
        return self._store.llm_presets.save_all(checked_each(presets, self._checked))

    def _checked(self, preset: LLMPreset) -> tuple[LLMPreset, None]:
        for name, given in (("model", preset.model), ("mmproj", preset.mmproj)):
            if given is None or (name == "model" and hub.is_id(given)):
                continue
            if not parts.exists(Path(given)) or not given.endswith(".gguf"):
                raise PresetError(
                    f"{name}: there is no .gguf file at {given}.",
                    hint="Give the path of a .gguf file.",
                )
        return preset, None
