"""What a model says about itself: read from JSON files, without loading a weight.

Weights are only hashed here; whatever parses them runs in a process of the workers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mysticanvas.contracts.base import sha256_of
from mysticanvas.errors import ModelFileError, PresetError

INDEX = "model_index.json"
STARTER_FOLDER = Path("starter") / "image" / "model"
"""Where the model that ships is, in the data folder."""
_MAX_JSON_BYTES = 4 << 20
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]{2,80}")
_LIBRARIES = {"diffusers", "transformers", "stable_diffusion"}
_DEFAULTS = {"num_inference_steps": 50, "guidance_scale": 7.5}
"""diffusers' own, for a folder that names none."""


class World(NamedTuple):
    """What a small model can draw: its own sentence, and the words it was trained on."""

    draws: str
    words: frozenset[str]


class Model(NamedTuple):
    """A model, described."""

    path: Path
    """A diffusers folder, or a single file."""
    pipeline: str
    scheduler: str
    side_px: tuple[int, int]
    """Default width and height."""
    files: dict[str, str]
    """Path relative to the folder, or the role of a single file -> SHA-256."""
    default_params: dict[str, Any]
    world: World | None

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents of all files."""
        return sha256_of(self.files)


def describe(
    folder: Path, sha256: Callable[[Path], str], replaced: Callable[[str], bool] = lambda _: False
) -> Model:
    """Describe a diffusers folder.

    Args:
        folder: holds `model_index.json` and a folder per component.
        sha256: gives the digest of a file.
        replaced: tells of a component whether it comes from elsewhere, so that its files here
            decide nothing.

    Raises:
        PresetError: it is no diffusers folder.
        ModelFileError: it is one, but is damaged or wants code of its own to be run.
    """
    if not (folder / INDEX).is_file():
        raise PresetError(
            f"{folder} is not a diffusers folder: it has no {INDEX}.",
            hint="Give the folder that `pipeline.save_pretrained(folder)` wrote.",
        )
    index = _read_json(folder / INDEX)
    components = [name for name, _ in _components(folder, index) if not replaced(name)]
    world = _read_json(folder / "world.json") if (folder / "world.json").is_file() else None
    return Model(
        path=folder,
        pipeline=_class_name(folder / INDEX, index.get("_class_name")),
        scheduler=_scheduler(folder),
        side_px=_default_side(folder),
        files={
            path.relative_to(folder).as_posix(): sha256(path)
            for path in sorted(_files(folder, components))
        },
        default_params={**_DEFAULTS, **(world or {}).get("default_params", {})},
        world=World(world["draws"], frozenset(world["words"])) if world else None,
    )


def describe_file(
    path: Path, architecture: str, sha256: Callable[[Path], str], shipped: Path
) -> Model:
    """Describe a single-file checkpoint by what ships for its architecture.

    Args:
        architecture: name of a folder in `shipped`.
        sha256: gives the digest of a file.
    """
    folder = shipped / architecture
    own = _read_json(folder / "architecture.json")
    side = own.get("default_side_px")
    return Model(
        path=path,
        pipeline=pipeline(folder),
        scheduler=_scheduler(folder),
        side_px=(side, side) if isinstance(side, int) else _default_side(folder),
        files={f"model{path.suffix}": sha256(path)},
        default_params={**_DEFAULTS, **own["default_params"]},
        world=None,
    )


def pipeline(folder: Path) -> str:
    """The class name of a diffusers folder's pipeline.

    Raises:
        ModelFileError: its index is damaged.
    """
    return _class_name(folder / INDEX, _read_json(folder / INDEX).get("_class_name"))


def unknown_words(prompt: str, world: World) -> list[str]:
    """Words of the prompt that the model was not trained on, in order."""
    words = re.findall(r"[^\W_]+", prompt.casefold())
    return [word for word in dict.fromkeys(words) if word not in world.words]


def _components(folder: Path, index: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Component name -> library, for every component that is present."""
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list) or entry[:1] in ([], [None]):
            continue
        if entry[0] not in _LIBRARIES:
            raise ModelFileError(
                f"{folder / INDEX}: component {name!r} comes from {entry[0]!r}; code that a model "
                "brings with it is never run.",
                hint="Use a model whose components are classes of diffusers and transformers.",
            )
        yield name, str(entry[0])


def _files(folder: Path, components: list[str]) -> Iterator[Path]:
    yield folder / INDEX
    for name in components:
        part = folder / name
        if not part.is_dir():
            raise ModelFileError(
                f"{folder}: the folder of component {name!r} is missing.",
                hint="Copy or download the model again.",
            )
        yield from (path for path in part.rglob("*") if path.is_file() and path.name[0] != ".")


def _scheduler(folder: Path) -> str:
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise ModelFileError(f"{path} is missing.", hint="Copy or download the model again.")
    return _class_name(path, _read_json(path).get("_class_name"))


def _default_side(folder: Path) -> tuple[int, int]:
    """The side that the model was made for: its latents' times the VAE's factor, 512 if unsaid."""
    vae = folder / "vae" / "config.json"
    blocks = _read_json(vae).get("block_out_channels", [0] * 4) if vae.is_file() else [0] * 4
    for part in ("unet", "transformer"):
        config = folder / part / "config.json"
        if config.is_file():
            side = _read_json(config).get("sample_size")
            if isinstance(side, int):
                return (side * 2 ** (len(blocks) - 1),) * 2
            if isinstance(side, list) and len(side) == 2:
                return side[1] * 2 ** (len(blocks) - 1), side[0] * 2 ** (len(blocks) - 1)
    return 512, 512


def _class_name(path: Path, name: Any) -> str:
    if not isinstance(name, str) or not _CLASS.fullmatch(name):
        raise ModelFileError(f"{path}: {name!r} is not the name of a diffusers class.")
    return name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelFileError(f"{path} is larger than a configuration can be.")
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}.") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} does not hold a JSON object.")
    return value
