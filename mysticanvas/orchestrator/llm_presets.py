"""Presets of language models as the routes need them: checked and kept, one of them the default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mysticanvas.contracts.llm import PROJECTOR, ContextParams, LanguageModel
from mysticanvas.contracts.model_files import Inspection
from mysticanvas.contracts.presets import LLMPreset
from mysticanvas.errors import ModelFileError, PresetError
from mysticanvas.orchestrator import hub, parts
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import checked_each
from mysticanvas.store import Store
from mysticanvas.vram import llm

_DEFAULT = "presets.llm.default"


class LLMPresets:
    """The presets of a home's language models.

    Args:
        store: where they are kept.
        inspector: says what files are.
    """

    def __init__(self, store: Store, inspector: Inspector) -> None:
        self._store = store
        self._inspector = inspector

    def save(self, preset: LLMPreset) -> LLMPreset:
        """Check a preset by the headers of its files, and keep it; a hub id with its revision and
        file.

        Raises:
            PresetError: a file is not there, is no GGUF file by its name, or a hub id means
                several.
            ModelFileError: a file is damaged, or holds something else.
            InvalidRequest: the model cannot have its cache in that number format.
        """
        return self._store.llm_presets.save(*self._checked(preset))

    def save_all(self, presets: Sequence[LLMPreset]) -> list[LLMPreset]:
        """Check presets as `save` does, and keep them: all of them, or none.

        Raises:
            PresetError, ModelFileError, InvalidRequest: as `save`, with the preset's name.
        """
        return self._store.llm_presets.save_all(checked_each(presets, self._checked))

    def delete(self, name: str) -> None:
        """Forget a preset.

        Raises:
            NotFound: there is none.
        """
        self._store.llm_presets.delete(name)
        if self.default == name:
            self.set_default(None)

    @property
    def default(self) -> str | None:
        """The name of the preset that is used where none is named; None if none is."""
        name = self._store.facts.get(_DEFAULT)
        return name if isinstance(name, str) else None

    def set_default(self, name: str | None) -> None:
        """Use a preset where none is named; None for none.

        Raises:
            NotFound: there is none of that name.
        """
        known = None if name is None else self._store.llm_presets.get(name).name
        self._store.facts.set(_DEFAULT, known)

    def _checked(self, preset: LLMPreset) -> tuple[LLMPreset, str]:
        """A preset whose file is pinned, and its architecture."""
        if hub.is_gguf_id(preset.model):
            preset = preset.replace(model=hub.locate_gguf(preset.model).pinned)
        model = self._language_model(hub.gguf(preset.model))
        llm.check_cache(
            model, ContextParams(n_ctx=preset.n_ctx, type_k=preset.type_k, type_v=preset.type_v)
        )
        if preset.mmproj is not None:
            self._require_projector(Path(preset.mmproj))
        return preset, model.architecture

    def _language_model(self, path: Path) -> LanguageModel:
        inspection = self._inspected("model", path)
        if inspection.not_language is not None:
            raise inspection.not_language.to_error().within("model")
        assert inspection.language is not None
        return inspection.language

    def _require_projector(self, path: Path) -> None:
        named = self._inspected("mmproj", path).gguf_architecture
        if named != PROJECTOR:
            raise ModelFileError(
                f"mmproj: {path} holds nothing that a language model sees with: its architecture "
                f"is {named!r}, and {PROJECTOR!r} is needed.",
                hint="Give the file named mmproj that belongs to the model.",
            )

    def _inspected(self, member: str, path: Path) -> Inspection:
        if not parts.exists(path) or not path.is_file() or path.suffix != parts.GGUF:
            raise PresetError(
                f"{member}: there is no {parts.GGUF} file at {path}.",
                hint=parts.renaming(path, (parts.GGUF,))
                or f"Give the path of a {parts.GGUF} file.",
            )
        return self._inspector.inspect(path)
