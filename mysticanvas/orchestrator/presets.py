"""Presets as the queue and the routes need them: found, made of paths, checked and described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mysticanvas import logs
from mysticanvas.contracts import loras
from mysticanvas.contracts.model_files import HashedFile, ModelFiles
from mysticanvas.contracts.presets import STARTER, ImagePreset, Preset
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.contracts.refusal import missing
from mysticanvas.errors import InvalidRequest, MystiCanvasError, PresetError
from mysticanvas.orchestrator import hub, models, parts, unknown_preset
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.loras import Finder
from mysticanvas.plugins.registry import Registry
from mysticanvas.settings import data_folder
from mysticanvas.store import Store

_DEFAULT = "presets.image.default"
_log = logs.get(__name__)

P = TypeVar("P", bound=Preset)


class _NotRead(Exception):
    """A file would have to be read for its digest."""


class Presets:
    """The image presets of a home.

    Args:
        store: where they are kept.
        inspector: says what single files are.
        plugins: say which engine a model needs.
        engine: that of the worker.
    """

    def __init__(self, store: Store, inspector: Inspector, plugins: Registry, engine: str) -> None:
        self._store = store
        self._inspector = inspector
        self._plugins = plugins
        self._engine = engine
        self.loras = Finder(store, inspector, engine)

    def save(self, preset: ImagePreset) -> ImagePreset:
        """Check a preset, and keep it.

        Raises:
            PresetError: its model or a part is not there, or needs what is not.
            InvalidRequest: a LoRA is not there, or its name means several.
            ModelFileError: a file is damaged, unsafe or of no known kind.
        """
        return self._store.presets.save(*self._checked(preset))

    def check(self, preset: ImagePreset) -> ImagePreset:
        """A preset as `save` would keep it.

        Raises:
            PresetError, InvalidRequest, ModelFileError: as `save`.
        """
        return self._checked(preset)[0]

    def save_all(self, presets: Sequence[ImagePreset]) -> list[ImagePreset]:
        """Check presets as `save` does, and keep them: all of them, or none.

        Raises:
            InvalidRequest, PresetError, ModelFileError: as `save`, with the preset's name.
        """
        return self._store.presets.save_all(checked_each(presets, self._checked))

    def _checked(self, preset: ImagePreset) -> tuple[ImagePreset, str]:
        """A preset whose revision is pinned, and its architecture."""
        if preset.name == STARTER and not self._is_as_it_ships(preset):
            raise InvalidRequest(
                f"The preset {STARTER!r} ships with the package and cannot be changed.",
                hint='Save it under another name: preset.replace(name="…").',
                parameter="name",
                value=STARTER,
                allowed="another name",
            )
        if hub.is_id(preset.model):
            preset = preset.replace(model=hub.locate(preset.model).pinned)
        path = _path(preset)
        parts.check("model", path)
        self._require_image_model(preset, path)
        for name, part in (("unet", preset.unet), ("vae", preset.vae), *_clips(preset)):
            if part is not None:
                parts.check(name, Path(part))
        self.loras.of(preset, {})
        pipeline = self._pipeline(path)
        parts.require_roles(preset, self._index_folder(path))
        return preset, pipeline

    def _is_as_it_ships(self, preset: ImagePreset) -> bool:
        shipped = self._store.presets.known(preset.name)
        return shipped is not None and shipped.replace() == preset.replace()

    def find(self, wanted: str | None) -> ImagePreset:
        """The preset of a name, or one made for a path or a hub id.

        Raises:
            InvalidRequest: there is none, and nothing of that path.
            PresetError: the path is no model, or there is none of that id.
            ModelFileError: the file at the path is damaged, unsafe or of no known kind.
        """
        name = self.default if wanted is None else wanted
        known = self._store.presets.known(name)
        if known is not None:
            return known
        path = parts.expanded(name)
        if path.is_absolute() and parts.exists(path):
            # A file may be a link to one without a suffix, as in the cache of the hub.
            path = path.resolve() if path.is_dir() else path.absolute()
            name = path.name if path.is_dir() else path.stem
            return self._made(name, str(path))
        if hub.is_id(name):
            short = name.partition("@")[0].partition("/")[2]
            return self._made(short, hub.locate(name).pinned)
        if self._store.llm_presets.known(name) is not None:
            raise PresetError(
                f"The preset {name!r} is that of a language model, which draws nothing.",
                hint="`canvas.presets.image` lists those of image models.",
            )
        raise unknown_preset.error(name, self._store)

    def of_recipe(self, recipe: Recipe) -> ImagePreset:
        """The preset that made a picture: of the revisions that have been its files, one that
        computes in its number format, the one that the recipe names, or the newest, in that order;
        the one of today if none has been.

        Raises:
            PresetError: there is none of that name.
        """
        files = loras.without(recipe.model_files)
        dtype = recipe.environment.dtype if recipe.environment else None
        those = [
            preset
            for preset in self._store.presets.revisions(recipe.preset)
            if self._store.presets.files(preset) == files and _is_there(preset)
        ]
        if those:
            return max(
                those,
                key=lambda preset: (
                    preset.dtype in ("auto", dtype),
                    preset.revision == recipe.preset_revision,
                    preset.revision or 0,
                ),
            )
        # By name alone: a path or a hub id is the word of whoever wrote the recipe, who would have
        # anything loaded by it, and kept as a preset.
        known = self._store.presets.known(recipe.preset)
        if known is None:
            raise PresetError(
                f"The preset {recipe.preset[:80]!r} of this recipe is not here.",
                hint="Save the model that it is to be made with, canvas.presets.image.save("
                'ImagePreset(name="a", model="…")), then give the recipe that name: '
                'canvas.reproduce(recipe.model_copy(update={"preset": "a"})).',
            )
        return known

    def model(self, preset: ImagePreset) -> models.Model:
        """The model of a preset with its parts, which the worker can run.

        Raises:
            PresetError: it is not there, or needs another engine.
            ModelFileError: a file is damaged or unsafe.
        """
        hashed: list[HashedFile] = []

        def sha256(path: Path) -> str:
            hashed.append(self._store.model_files.hashed(path))
            return hashed[-1].sha256

        return self._described(preset, sha256)._replace(hashed=tuple(hashed))

    def files(self, preset: ImagePreset) -> ModelFiles:
        """Where the files of a preset are.

        Raises:
            PresetError: a hub id is not in the cache.
        """
        given = preset.model_dump(include={"unet", "vae", "clip"})
        return ModelFiles(path=str(_path(preset)), **given)

    def digest_if_known(self, preset: ImagePreset) -> str:
        """That of the model, if it is known without reading the weights; empty otherwise.

        Raises:
            PresetError, ModelFileError: as `model`.
        """
        try:
            return self._described(preset, self._known).digest
        except _NotRead:
            return ""

    def _known(self, path: Path) -> str:
        known = self._store.model_files.known(path)
        if known is None:
            raise _NotRead
        return known

    def _described(self, preset: ImagePreset, sha256: Callable[[Path], str]) -> models.Model:
        path = _path(preset)
        parts.check("model", path)
        self._require_image_model(preset, path)
        if path.is_dir():
            model = models.describe(path, sha256, parts.replaces(preset))
        else:
            model = models.describe_file(path, self._architecture(path), sha256, _shipped())
        self._require_engine(path, model.pipeline)
        parts.require_roles(preset, self._index_folder(path))
        return model._replace(files={**model.files, **parts.files(preset, sha256)})

    def notice_changes(self, preset: ImagePreset, model: models.Model) -> list[str]:
        """Remember the digests of the files that a job runs with; what the user should know if
        they are others than those of the job before."""
        before = self._store.presets.files(preset)
        if before == model.files:
            return []
        self._store.presets.keep_files(preset, model.files)
        if before is None:
            return []
        changed = sorted(
            name
            for name in before.keys() | model.files.keys()
            if before.get(name) != model.files.get(name)
        )
        _log.info("model_files_changed", preset=preset.name, files=len(changed))
        self._store.presets.weigh(preset, mib=None, weighed=None)
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return [
            f"Files of the preset {preset.name!r} changed since it was last used: "
            f"{', '.join(changed[:3])}{more}. The picture is of the new ones, as its recipe says."
        ]

    @property
    def default(self) -> str:
        """The name of the preset that is used where none is named."""
        name = self._store.facts.get(_DEFAULT)
        return name if isinstance(name, str) else STARTER

    def set_default(self, name: str | None) -> None:
        """Use a preset where none is named.

        Raises:
            NotFound: there is none of that name.
            InvalidRequest: no name is given.
        """
        if name is None:
            raise missing("name", "the name of an image preset")
        self._store.facts.set(_DEFAULT, self._store.presets.get(name).name)

    def delete(self, name: str) -> None:
        """Forget a preset; pictures keep its name, and their recipes all that it was.

        Raises:
            NotFound: there is none.
            InvalidRequest: it is the one that ships.
        """
        if name == STARTER:
            raise InvalidRequest(
                f"The preset {STARTER!r} ships with the package and cannot be deleted.",
                parameter="name",
                value=STARTER,
                allowed="another preset",
            )
        self._store.presets.delete(name)
        if self.default == name:
            self._store.facts.set(_DEFAULT, STARTER)

    def _pipeline(self, path: Path) -> str:
        folder = self._index_folder(path)
        if not (folder / models.INDEX).is_file():
            models.describe(path, str)  # says what is wrong with it
        name = models.pipeline(folder)
        self._require_engine(path, name)
        return name

    def _index_folder(self, path: Path) -> Path:
        """The folder of a model, or what ships for the architecture of a single file."""
        return path if path.is_dir() else _shipped() / self._architecture(path)

    def _require_image_model(self, preset: ImagePreset, path: Path) -> None:
        if path.suffix == parts.GGUF:
            language = self._inspector.inspect(path).language
            if language is not None:
                raise PresetError(
                    f"{path} is a language model ({language.architecture}), and pictures need an "
                    "image model.",
                    hint="Give an image model. A language model is kept with "
                    'canvas.presets.llm.save(LLMPreset(name="…", model="…")).',
                )
        parts.require_all(preset, path)

    def _architecture(self, path: Path) -> str:
        architecture = self._inspector.inspect(path).architecture
        if architecture is None:
            known = sorted(index.parent.name for index in _shipped().glob(f"*/{models.INDEX}"))
            raise PresetError(
                f"{path} is of no architecture that can be loaded from a single file.",
                hint=f"Give the model as a diffusers folder. Known are: {', '.join(known)}.",
            )
        return architecture

    def _require_engine(self, path: Path, pipeline: str) -> None:
        needed = self._plugins.kind_for(pipeline)
        if needed != self._engine:
            raise PresetError(
                f"{path} is a {pipeline}, which needs the engine {needed!r}; the worker of "
                f"this orchestrator is {self._engine!r}.",
                hint=f"Call canvas.shutdown(), set MYSTICANVAS_ENGINE={needed} and try again, or "
                "choose another preset.",
            )

    def _made(self, wanted: str, model: str) -> ImagePreset:
        """A preset of nothing but a model that can be used, under a name that no other has: the
        one that there is already, or a new one."""
        plain, number = ImagePreset(name=wanted, model=model), 2
        while (taken := self._store.presets.known(plain.name)) is not None:
            if taken.replace() == plain:
                return taken
            plain, number = plain.replace(name=f"{wanted}-{number}"), number + 1
        self.model(plain)
        return self.save(plain)


def checked_each(
    presets: Sequence[P], check: Callable[[P], tuple[P, str | None]]
) -> list[tuple[P, str | None]]:
    """Presets with their architectures, checked one by one. An error says of which it is."""
    checked = []
    for preset in presets:
        try:
            checked.append(check(preset))
        except MystiCanvasError as error:
            raise error.within(f"the preset {preset.name!r}") from error
    return checked


def _path(preset: ImagePreset) -> Path:
    return hub.locate(preset.model).folder if hub.is_id(preset.model) else Path(preset.model)


def _is_there(preset: ImagePreset) -> bool:
    try:
        return parts.exists(_path(preset))
    except PresetError:
        return False


def _clips(preset: ImagePreset) -> list[tuple[str, str | None]]:
    return [(f"clip {n}", path) for n, path in enumerate(preset.clip, 1)]


def _shipped() -> Path:
    return data_folder() / "architectures"
