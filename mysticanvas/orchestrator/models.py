"""What a model says about itself: read from JSON files, without loading a weight.

Weights are only hashed here; whatever parses them runs in a process of the workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mysticanvas import model_folders, settings
from mysticanvas.contracts import params
from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.errors import InvalidRequest, ModelFileError, PresetError
from mysticanvas.model_folders import read_json

INDEX = "model_index.json"
STARTER_FOLDER = Path("starter") / "image" / "model"
"""Where the model that ships is, in the data folder."""
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]{2,80}")
_DEFAULTS = {"num_inference_steps": 50, "guidance_scale": 7.5}
"""diffusers' own, for a folder that names none."""
_MAX_VAE_BLOCKS = 10
_SIDE_STEP_PX = 8


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
    hashed: tuple[HashedFile, ...] = ()
    """Its files as they were then, where who had it described looked at them."""

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
    index = read_json(folder / INDEX)
    model_folders.check_index(folder / INDEX, index)
    components = [name for name, _ in model_folders.components(index) if not replaced(name)]
    world, default_params = _world(folder / "world.json")
    return Model(
        path=folder,
        pipeline=_class_name(folder / INDEX, index.get("_class_name")),
        scheduler=_scheduler(folder),
        side_px=_default_side(folder),
        files={
            path.relative_to(folder).as_posix(): sha256(path)
            for path in sorted(_files(folder, components))
        },
        default_params={**_DEFAULTS, **default_params},
        world=world,
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
    own = read_json(folder / "architecture.json")
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
    return _class_name(folder / INDEX, read_json(folder / INDEX).get("_class_name"))


def unknown_words(prompt: str, world: World) -> list[str]:
    """Words of the prompt that the model was not trained on, in order."""
    words = re.findall(r"[^\W_]+", prompt.casefold())
    return [word for word in dict.fromkeys(words) if word not in world.words]


def _files(folder: Path, components: list[str]) -> Iterator[Path]:
    yield folder / INDEX
    for name in components:
        part = folder / name
        if not part.is_dir():
            raise ModelFileError(
                f"{folder}: the folder of component {name!r} is missing.",
                hint="Copy or download the model again.",
            )
        model_folders.check(part)
        yield from (path for path in part.rglob("*") if path.is_file() and path.name[0] != ".")


def _scheduler(folder: Path) -> str:
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise ModelFileError(f"{path} is missing.", hint="Copy or download the model again.")
    return _class_name(path, read_json(path).get("_class_name"))


def _default_side(folder: Path) -> tuple[int, int]:
    """Width and height that the model was made for: its latents' times the VAE's factor, 512 if
    unsaid; as multiples of 8, which all sizes are.

    Raises:
        ModelFileError: no picture can have that size.
    """
    factor = _vae_factor(folder)
    for part in ("unet", "transformer"):
        config = folder / part / "config.json"
        size = read_json(config).get("sample_size") if config.is_file() else None
        if size is None:
            continue
        height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
        return _side(config, width, factor), _side(config, height, factor)
    return 512, 512


def _side(config: Path, latents: Any, factor: int) -> int:
    """Pixels of a side that has so many latents."""
    most = settings.MAX_SIDE_PX // factor
    if type(latents) is not int or not 1 <= latents <= most or latents * factor < _SIDE_STEP_PX:
        raise ModelFileError(
            f"{config}: sample_size {str(latents)[:40]!r} is no size of a picture; allowed is a "
            f"whole number from {-(-_SIDE_STEP_PX // factor)} to {most}, a list of two, or null.",
            hint="Copy or download the model again.",
        )
    return latents * factor // _SIDE_STEP_PX * _SIDE_STEP_PX


def _vae_factor(folder: Path) -> int:
    """Pixels that a latent stands for, in a row; 8 if there is no VAE to say so."""
    config = folder / "vae" / "config.json"
    blocks = read_json(config).get("block_out_channels") if config.is_file() else None
    if blocks is None:
        return 8
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= _MAX_VAE_BLOCKS:
        raise ModelFileError(
            f"{config}: block_out_channels is no list of 1 to {_MAX_VAE_BLOCKS} numbers.",
            hint="Copy or download the model again.",
        )
    return int(2 ** (len(blocks) - 1))


def _world(path: Path) -> tuple[World | None, dict[str, Any]]:
    """What a small model says of itself: what it draws, and its defaults."""
    if not path.is_file():
        return None, {}
    own = read_json(path)
    draws, words, defaults = own.get("draws"), own.get("words"), own.get("default_params", {})
    if not isinstance(draws, str) or not isinstance(words, list) or not isinstance(defaults, dict):
        raise ModelFileError(
            f"{path}: allowed are `draws`, a text, `words`, a list, and `default_params`, a dict "
            "of arguments of generate."
        )
    try:
        params.parse(prompt="", **defaults)
    except InvalidRequest as error:
        raise ModelFileError(f"{path}: default_params: {error}") from None
    return World(draws, frozenset(map(str, words))), defaults


def _class_name(path: Path, name: Any) -> str:
    if not isinstance(name, str) or not _CLASS.fullmatch(name):
        raise ModelFileError(f"{path}: {name!r} is not the name of a diffusers class.")
    return name
