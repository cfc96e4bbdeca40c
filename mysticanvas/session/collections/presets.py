"""`canvas.presets`: models under names, with their parts and defaults."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from mysticanvas.contracts import loras, preset_toml
from mysticanvas.contracts.presets import STARTER, ImagePreset, LLMPreset, Preset
from mysticanvas.contracts.refusal import refused
from mysticanvas.errors import InvalidRequest, ModelFileError, NotFound, PresetError
from mysticanvas.session import arguments, table

if TYPE_CHECKING:
    from mysticanvas.session.connection import Connection

P = TypeVar("P", bound=Preset)

_TITLES = {"image": "image models", "llm": "language models"}
_COLUMNS = ("preset", "model", "architecture", "weights")


class Presets:
    """The presets of the home: `.image` and `.llm`.

    Args:
        connection: where requests go.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def image(self) -> ImagePresets:
        """Image models."""
        return ImagePresets(self._connection, ImagePreset)

    @property
    def llm(self) -> LLMPresets:
        """Language models."""
        return LLMPresets(self._connection, LLMPreset)

    def __repr__(self) -> str:
        return f"<Presets image={len(self.image)} llm={len(self.llm)}>"

    def _repr_html_(self) -> str:
        return self.image._repr_html_() + self.llm._repr_html_()


class PresetsOfKind(Generic[P]):
    """Presets of one kind, by name; a notebook shows them all.

    A preset that is changed is a new revision; pictures keep the one that made them.

    Args:
        connection: where requests go.
        kind: the class of the presets.
    """

    def __init__(self, connection: Connection, kind: type[P]) -> None:
        self._connection = connection
        self._type = kind

    @property
    def _one(self) -> str:
        """One of them, in words."""
        return "an ImagePreset" if self._type is ImagePreset else "an LLMPreset"

    def __iter__(self) -> Iterator[P]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def __getitem__(self, name: str) -> P:
        """The preset of that name.

        Raises:
            InvalidRequest: no preset can have that name.
            NotFound: there is none.
        """
        wanted = arguments.preset_name(name, "name")
        return self._connection.call(lambda api: api.preset(self._type, wanted))

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and bool(self[name])
        except (NotFound, InvalidRequest):
            return False

    def list(self) -> builtins.list[P]:
        """All of them, by name."""
        return self._connection.call(lambda api: api.presets(self._type))

    def save(self, preset: P) -> P:
        """Keep a preset under its name; a new revision, if anything of it is new.

        `~` stands for your home, and relative paths are taken from where you are.

        Returns:
            It, with `.revision` and `.architecture`. Its `.vram_weights_mib` is told in the
            background: after a minute or two, `canvas.presets.image[name]` has it.

        Raises:
            InvalidRequest: it is no such preset, its name is that of one that ships, or a language
                model cannot have its cache in that number format.
            PresetError: its model or a part is not there, or needs another engine.
            ModelFileError: a file is a pickle, damaged or of no known kind.
        """
        if not isinstance(preset, self._type):
            raise refused("preset", preset, self._one)
        whole = absolute(preset)
        return self._connection.call(lambda api: api.save_preset(whole))

    def delete(self, name: str | P) -> None:
        """Forget a preset. Pictures keep its name, and their recipes all that it was; a model that
        was pinned by it is so no longer.

        Args:
            name: of a preset, or the preset itself.

        Raises:
            NotFound: there is none.
            InvalidRequest: it ships with the package, or no preset can have that name.
        """
        known = arguments.preset_name(name, "name")
        self._connection.call(lambda api: api.delete_preset(self._type, known))

    def revisions(self, name: str | P) -> builtins.list[P]:
        """Everything that a preset has been, oldest first; also of one that was deleted.

        Args:
            name: of a preset, or the preset itself.

        Raises:
            NotFound: there never was one.
            InvalidRequest: no preset can have that name.
        """
        known = arguments.preset_name(name, "name")
        return self._connection.call(lambda api: api.preset_revisions(self._type, known))

    def export(self, path: str | Path, *names: str) -> Path:
        """Write presets to a new TOML file.

        Args:
            path: the file; nothing is overwritten.
            names: of the presets; none for all but those that ship with the package.

        Returns:
            The file's absolute path.

        Raises:
            NotFound: there is no such preset.
            InvalidRequest: there is something at the path, or it cannot be written; or TOML has no
                words for a preset.
        """
        presets = [self[name] for name in names] if names else self._own()
        target = arguments.path("path", path, "a new file").absolute()
        # First, so that no empty file is left where this fails.
        text = preset_toml.write(presets)
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            reason = f"{error.strerror}."
            raise refused(
                "path", str(path), "a new file in a folder that is there", reason
            ) from None
        return target

    def load(self, path: str | Path) -> builtins.list[P]:
        """Save the presets of a TOML file, as `export` writes it: all of them, or none.

        One that ships with the package changes nothing, as long as it is what ships.

        Args:
            path: the file; relative paths in it are taken from its folder.

        Returns:
            Them, as they were saved.

        Raises:
            InvalidRequest: it is no such file, or a preset is not allowed.
            PresetError, ModelFileError: as for `save`. Errors name the file and the preset, and
                nothing is saved then.
        """
        source = arguments.path("path", path, "a TOML file").absolute()
        presets = preset_toml.read(_text(source), self._type, source)
        whole = [absolute(preset) for preset in presets]
        try:
            return self._connection.call(lambda api: api.save_presets(self._type, whole))
        except (InvalidRequest, PresetError, ModelFileError) as error:
            raise error.within(str(source)) from None

    def _own(self) -> builtins.list[P]:
        """Those that do not ship: a package has its own, at a path of its own."""
        return self.list()

    def _set_default(self, preset: str | P) -> None:
        name = preset.name if isinstance(preset, self._type) else preset
        if not isinstance(name, str):
            raise refused("default", preset, f"{self._one}, or its name")
        self._connection.call(lambda api: api.set_default_preset(self._type, name))

    def _repr_html_(self) -> str:
        name = self._type.__name__
        return table.of(
            _COLUMNS,
            map(_cells, self.list()),
            title=_TITLES[self._type.KIND],
            none=f"none yet, canvas.presets.{self._type.KIND}.save({name}(…)) keeps one",
        )

    def __repr__(self) -> str:
        lines = [f"<Presets {self._type.KIND} {len(self)}>"]
        lines += [
            "  " + "  ".join(cell for cell in _cells(preset) if cell) for preset in self.list()
        ]
        return "\n".join(lines)


class ImagePresets(PresetsOfKind[ImagePreset]):
    """Image presets, one of which is the default."""

    def _own(self) -> builtins.list[ImagePreset]:
        return [preset for preset in self.list() if preset.name != STARTER]

    @property
    def default(self) -> str:
        """The name of the preset that `generate` uses if it is given none; can be set to a name or
        a preset.

        Raises:
            NotFound: when it is set: there is no such preset.
        """
        return self._connection.call(lambda api: api.default_preset(self._type)) or STARTER

    @default.setter
    def default(self, preset: str | ImagePreset) -> None:
        self._set_default(preset)


class LLMPresets(PresetsOfKind[LLMPreset]):
    """Presets of language models, one of which may be the default."""

    @property
    def default(self) -> str | None:
        """The name of the preset that is used where none is named, None if none is; can be set to a
        name, a preset or None.

        Raises:
            NotFound: when it is set: there is no such preset.
        """
        return self._connection.call(lambda api: api.default_preset(self._type))

    @default.setter
    def default(self, preset: str | LLMPreset | None) -> None:
        if preset is None:
            self._connection.call(lambda api: api.set_default_preset(self._type, None))
        else:
            self._set_default(preset)


def absolute(preset: P) -> P:
    """The preset with paths that mean the same in another process."""
    if "/" in preset.model and not preset.model.startswith("/") and Path(preset.model).exists():
        # What is there is meant, though it looks like a hub id.
        preset = preset.replace(model=f"./{preset.model}")
    here = preset_toml.within(preset, Path.cwd())
    changes: dict[str, object] = {}
    for name in ("model", "unet", "vae", "mmproj"):
        value = getattr(here, name, None)
        if isinstance(value, str):
            changes[name] = _expanded(value)
    if isinstance(here, ImagePreset):
        changes["clip"] = tuple(map(_expanded, here.clip))
        changes["loras"] = {
            _expanded(name) if loras.is_path(name) else name: weight
            for name, weight in here.loras.items()
        }
    return here.replace(**changes)


def _expanded(path: str) -> str:
    if not path.startswith("~"):
        return path
    return str(arguments.path("preset", path, "a preset whose paths are there"))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > preset_toml.MAX_BYTES:
            raise preset_toml.unfit(path, f"it is larger than {preset_toml.MAX_BYTES:,} bytes")
        # Some editors begin a file with a mark of its byte order, which TOML does not know.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise preset_toml.unfit(path, error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise preset_toml.unfit(path, f"it is no UTF-8 ({error.reason})") from None


def _cells(preset: Preset) -> tuple[str, ...]:
    mib = preset.vram_weights_mib
    weights = "" if mib is None else f"{mib:,.1f} MiB"
    return preset.name, preset.model, preset.architecture or "", weights
