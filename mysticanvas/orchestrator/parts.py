"""Which files of a preset's parts decide pixels, and which of its model's own no longer do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mysticanvas import component_roles, model_folders
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import ModelFileError, PresetError
from mysticanvas.orchestrator.models import INDEX

GGUF = ".gguf"
_DENOISERS = ("unet", "transformer")
_DENOISING = ("model", "unet")
"""Roles that may be in a GGUF file."""
_TEXT = ("text_encoder", "tokenizer")


def replaces(preset: ImagePreset) -> Callable[[str], bool]:
    """Tells of a component of the model whether a part of the preset stands for it."""
    clips = [Path(path) for path in preset.clip]
    whole = len(clips) == 1 and (clips[0] / INDEX).is_file()
    encoders = {f"text_encoder_{n}" if n > 1 else "text_encoder" for n in range(1, len(clips) + 1)}

    def replaced(component: str) -> bool:
        if component in _DENOISERS:
            return preset.unet is not None
        if component == "vae":
            return preset.vae is not None
        return component in encoders or (whole and component.startswith(_TEXT))

    return replaced


def files(preset: ImagePreset, sha256: Callable[[Path], str]) -> dict[str, str]:
    """Role and relative path -> SHA-256, for the parts that a preset has.

    Raises:
        PresetError: a part is not there.
        ModelFileError: one is a pickle, or cannot be read.
    """
    given = {"unet": preset.unet, "vae": preset.vae}
    given |= {f"clip_{n}": path for n, path in enumerate(preset.clip, 1)}
    return {
        name: sha256(path)
        for role, part in given.items()
        if part is not None
        for name, path in _of_part(role, Path(part))
    }


def require_all(preset: ImagePreset, path: Path) -> None:
    """Refuse a model of which there is the part alone that denoises.

    Args:
        path: of the preset's model.

    Raises:
        PresetError: so it is.
    """
    missing = [role for role in ("vae", "clip") if not getattr(preset, role)]
    if path.suffix == GGUF and missing:
        raise PresetError(
            f"{path} holds what denoises and nothing else: {' and '.join(missing)} is not given.",
            hint='Give folders or .safetensors files: ImagePreset(..., vae="folder", '
            'clip="folder of the pipeline"). Or give the whole model, and this file as `unet`.',
        )


def require_roles(preset: ImagePreset, folder: Path) -> None:
    """Refuse folders of parts that hold what plays another role, as far as they say so.

    Args:
        folder: has the index of the preset's model, or of what ships for its architecture.

    Raises:
        ModelFileError: so it is, or a file cannot be read.
    """
    if preset.unet is None and preset.vae is None:
        return
    index = model_folders.read_json(folder / INDEX)
    denoiser = next((each for each in _DENOISERS if each in index), "unet")
    for component, part in ((denoiser, preset.unet), ("vae", preset.vae)):
        if part is None or not _has_class(index.get(component)):
            continue
        within = Path(part) / component
        config = (within if within.is_dir() else Path(part)) / "config.json"
        if config.is_file():
            own = str(index[component][1])
            component_roles.check(config, model_folders.read_json(config), component, own)


def check(name: str, path: Path, *, folder: bool = True) -> None:
    """Refuse what is not there, what is neither a folder nor a regular file, and pickles.

    Args:
        name: the role that it was given for.
        path: what was given.
        folder: whether it may be a folder.

    Raises:
        PresetError, ModelFileError: as `files`.
    """
    suffixes = (".safetensors", GGUF) if name in _DENOISING else (".safetensors",)
    kinds = " or ".join(suffixes)
    hint = f"Give the path of {'a diffusers folder or of ' if folder else ''}a {kinds} file."
    if not exists(path):
        raise PresetError(f"{name}: there is nothing at {path}.", hint=hint)
    if not (path.is_dir() or path.is_file()):
        # Whoever opens a pipe waits for its other end, and a device may never end.
        raise PresetError(f"{name}: {path} is neither a folder nor a regular file.", hint=hint)
    if path.is_dir() and not folder:
        raise ModelFileError(f"{name}: {path} is a folder.", hint=hint)
    if path.suffix.lower() in model_folders.PICKLES:
        raise ModelFileError(
            f"{name}: {path} is a pickle, which can run any code when it is read.",
            hint="Convert it: load it where you trust it, then write it with safetensors' "
            "`save_file`, or give a model that has .safetensors files.",
        )
    if path.is_file() and path.suffix not in suffixes:
        raise ModelFileError(
            f"{name}: {path} is no {kinds} file.", hint=renaming(path, suffixes) or hint
        )


def renaming(path: Path, suffixes: Sequence[str]) -> str:
    """What to do with a file whose suffix is one of these in capitals; empty for others."""
    suffix = path.suffix.lower()
    if suffix not in suffixes or path.suffix == suffix or not exists(path):
        return ""
    return f"Rename it to {path.stem}{suffix}: suffixes count in small letters."


def expanded(name: str) -> Path:
    """The path that a text may mean; what would be in the home of nobody stays as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def exists(path: Path) -> bool:
    """Whether something is there; nothing is where no file could be."""
    try:
        return path.exists()
    except OSError:
        return False


def _has_class(component: Any) -> bool:
    """Whether an index says of which class a component is."""
    return isinstance(component, list) and len(component) > 1


def _of_part(role: str, path: Path) -> Iterator[tuple[str, Path]]:
    check(role, path)
    if path.is_file():
        yield f"{role}{path.suffix}", path
        return
    for folder in _folders(role, path):
        model_folders.check(folder)
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                yield f"{role}/{file.relative_to(path).as_posix()}", file


def _folders(role: str, path: Path) -> list[Path]:
    """The folders of a pipeline that play a role; the folder itself, if it is a component's."""
    if role.startswith("clip"):
        within = [each for each in sorted(path.iterdir()) if each.name.startswith(_TEXT)]
    else:
        within = [path / name for name in (_DENOISERS if role == "unet" else (role,))]
    return [folder for folder in within if folder.is_dir()] or [path]
