"""Which LoRAs a request means: found by name or path, checked, and in an order of their own."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mysticanvas.contracts import loras
from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.contracts.models import FoundModel
from mysticanvas.contracts.plugins import DEFAULT_ENGINE
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.errors import InvalidRequest, ModelFileError, PresetError
from mysticanvas.orchestrator import library, parts
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.store import Store


class Lora(NamedTuple):
    """A file that is there."""

    name: str
    """As it was given."""
    file: HashedFile
    weight: float

    @property
    def sha256(self) -> str:
        return self.file.sha256


class Loras(NamedTuple):
    """Those of a job, in the order of their roles; and names of the preset's that were left out."""

    used: tuple[Lora, ...]
    left_out: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, str]:
        """Role with its suffix -> SHA-256, as a recipe has them among the model's files."""
        return {f"{role}{loras.SUFFIX}": each.sha256 for role, each in self._by_role()}

    @property
    def weights(self) -> dict[str, float]:
        """Role -> weight."""
        return {role: each.weight for role, each in self._by_role()}

    @property
    def labels(self) -> dict[str, str]:
        """Name -> role, as a recipe has them. A home is none of a picture's business."""
        names = {_label(each.name): role for role, each in self._by_role()}
        return {**names, **{_label(name): "" for name in self.left_out}}

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(each.file.path for each in self.used)

    def _by_role(self) -> Iterator[tuple[str, Lora]]:
        return ((loras.role(number), each) for number, each in enumerate(self.used, 1))


NONE = Loras(())


class Finder:
    """Finds LoRAs of a home.

    Args:
        store: has the folders to look in, and digests of files.
        inspector: looks at files.
        engine: that of the worker.
    """

    def __init__(self, store: Store, inspector: Inspector, engine: str) -> None:
        self._store = store
        self._inspector = inspector
        self._engine = engine

    def of(self, preset: ImagePreset, given: Mapping[str, float]) -> Loras:
        """Those of a preset, with those of a call: the same file gets the call's weight, and what
        has the weight 0 is left out.

        Raises:
            InvalidRequest: the call names one that is not there, several are meant by a name, or
                two names mean one file.
            PresetError: the same of the preset, or the engine does not apply any.
            ModelFileError: a file is no LoRA, is damaged or unsafe.
        """
        if not preset.loras and not given:
            return NONE
        if self._engine != DEFAULT_ENGINE:
            raise PresetError(
                f"The engine {self._engine!r} does not apply LoRAs.", hint="Leave `loras` out."
            )
        own = self._distinct(preset.loras, f"loras of the preset {preset.name!r}")
        ours = self._distinct(given, "loras")
        together = {**own, **ours}
        used = [each for each in together.values() if each.weight]
        return Loras(
            # The order of additions changes pixels by a little, so it is always the same one.
            tuple(sorted(used, key=lambda each: each.sha256)),
            tuple(each.name for sha256, each in ours.items() if not each.weight and sha256 in own),
        )

    def of_recipe(self, recipe: Recipe) -> Loras:
        """Those of a recipe, in its order: by the digests of files that were seen here, or else
        what has the same name today; never by a path of it, since it may be anybody's.

        Raises:
            PresetError: one is not there.
            ModelFileError: a file is no LoRA, is damaged or unsafe.
        """
        names = {role: name for name, role in recipe.loras.items() if role}
        used = []
        for role, sha256 in loras.digests(recipe.model_files).items():
            name = names.get(role, role)
            path = self._by_content(sha256)
            if path is None:
                try:
                    path = self._named(_bare(name), "loras")
                except InvalidRequest:
                    raise PresetError(
                        f"The LoRA {name!r} of this recipe is not on this machine: no file of the "
                        f"SHA-256 {sha256} was seen here, and none is named {_bare(name)!r}.",
                        hint="Put it into a folder of canvas.models.add(folder) under that name.",
                    ) from None
            weight = recipe.params.loras.get(role, 0.0)
            used.append(self._lora(name, path, weight))
        left_out = tuple(name for name, role in recipe.loras.items() if not role)
        return Loras(tuple(used), left_out)

    def _distinct(self, given: Mapping[str, float], parameter: str) -> dict[str, Lora]:
        """SHA-256 -> LoRA."""
        found: dict[str, Lora] = {}
        for name, weight in given.items():
            each = self._lora(name, self._path(name, parameter), weight)
            if each.sha256 in found:
                raise InvalidRequest(
                    f"{parameter}: {found[each.sha256].name!r} and {name!r} are the same file.",
                    hint="Name it once, with the weight that it is to have.",
                    parameter="loras",
                    value=name,
                    allowed=loras.ALLOWED,
                )
            found[each.sha256] = each
        return found

    def _lora(self, name: str, path: Path, weight: float) -> Lora:
        parts.check("loras", path, folder=False)
        if not self._inspector.inspect(path).is_lora:
            raise ModelFileError(
                f"loras: {path} holds no LoRA.",
                hint="A LoRA has pairs of tensors such as `….lora_down.weight` and "
                "`….lora_up.weight`. A whole model is given as `preset`.",
            )
        return Lora(name, self._store.model_files.hashed(path), weight)

    def _path(self, name: str, parameter: str) -> Path:
        path = parts.expanded(name) if loras.is_path(name) else Path()
        return path if path.is_absolute() else self._named(name, parameter)

    def _named(self, name: str, parameter: str) -> Path:
        """The one of the added folders that has a name."""
        found = sorted({each.path for each in self._there(name) if each.name == name})
        if len(found) == 1:
            return Path(found[0])
        if found:
            what = f"{parameter}: {len(found)} files are named {name!r}: {', '.join(found[:4])}."
            hint = "Give the path of the one that is meant."
        else:
            names = sorted({each.name for each in self._there()})
            nearest = difflib.get_close_matches(name, names, 3)
            what = f"{parameter}: there is no LoRA {name!r}."
            hint = f"Did you mean {' or '.join(map(repr, nearest))}? " if nearest else ""
            hint += 'canvas.models.list("lora") lists those there are; a path will do as well.'
        raise InvalidRequest(
            what, hint=hint, parameter="loras", value=name, allowed="a name or a path"
        )

    def _there(self, name: str | None = None) -> list[FoundModel]:
        return [each for each in library.everywhere(self._store, name) if each.kind == "lora"]

    def _by_content(self, sha256: str) -> Path | None:
        for path in self._store.model_files.paths(sha256):
            try:
                if self._store.model_files.sha256(path) == sha256:
                    return path
            except ModelFileError:
                continue
        return None


def _bare(name: str) -> str:
    """The name that a file of this path is listed by."""
    return library.name_of(Path(name)) if "/" in name else name


def _label(name: str) -> str:
    home = os.path.expanduser("~")  # noqa: PTH111 - as it is where nothing tells the home
    return f"~{name.removeprefix(home)}" if name.startswith(f"{home}/") else name
