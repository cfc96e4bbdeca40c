"""Models in the folders of other programs, found in place: read-only, by names and sizes alone.

Layouts: ComfyUI and A1111 have a folder a kind below `models`, InvokeAI one a base and a kind, LM
Studio one a publisher and a repository, and the Hugging Face hub `models--owner--name`. What they
share is that a folder's name on the way says the kind, so one walk serves them all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mysticanvas import logs
from mysticanvas.contracts import loras, paths
from mysticanvas.contracts.models import FoundModel, ModelKind, ModelLayout
from mysticanvas.model_folders import PICKLES
from mysticanvas.orchestrator import hub
from mysticanvas.orchestrator.models import INDEX
from mysticanvas.store import Store

_log = logs.get(__name__)

MAX_DEPTH = 8
MAX_ENTRIES = 200_000
"""Files and folders that are looked at in one added folder."""
MIN_PICKLE_BYTES = 1 << 20
"""Smaller files with such a suffix are no models."""
_KINDS: dict[str, ModelKind] = {
    "checkpoints": "image",
    "clip": "clip",
    "clip_vision": "other",
    "controlnet": "controlnet",
    "diffusion_models": "image",
    "embedding": "embedding",
    "embeddings": "embedding",
    "llm": "llm",
    "llms": "llm",
    "lora": "lora",
    "loras": "lora",
    "lycoris": "lora",
    "main": "image",
    "mmproj": "llm",
    "stable-diffusion": "image",
    "t5_encoder": "clip",
    "text_encoder": "clip",
    "text_encoders": "clip",
    "unet": "image",
    "vae": "vae",
}
"""Name of a folder, in small letters -> what lies in it."""
_LAYOUTS: dict[str, ModelLayout] = {
    ".safetensors": "safetensors",
    ".gguf": "gguf",
    **dict.fromkeys(PICKLES, "pickle"),
}


FOLDERS = "models.folders"
"""The fact that names the folders that were added."""


def folders(store: Store) -> list[str]:
    """The folders that were added, in that order."""
    value = store.facts.get(FOLDERS)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def everywhere(store: Store, name: str | None = None) -> list[FoundModel]:
    """The models in the folders that were added and in the cache of the hub.

    Args:
        name: has models of other names in added folders left out, which takes little time.
    """
    found = [model for folder in folders(store) for model in find(Path(folder), folder, name)]
    cache = hub.known_cache()
    return found if cache is None else [*found, *find_in_hub(cache)]


def find(folder: Path, source: str, only: str | None = None) -> Iterator[FoundModel]:
    """The models below a folder, in order; those behind links to folders come last.

    Args:
        source: what each says of where it comes from.
        only: the name of models that are wanted; by default, all are.
    """
    for here, files in _walk(folder):
        if INDEX in files:
            if only in (None, here.name) and _can_be_told(here):
                yield _pipeline(here, source)
            continue
        for name in files:
            # A name costs next to nothing, unlike a path and what lies there.
            if only is not None and not name.startswith(only):
                continue
            found = _file(here / name, folder, source)
            if found is not None and only in (None, found.name):
                yield found


def name_of(path: Path) -> str:
    """The name that a file is listed by: one that is no path, though its suffix be there twice."""
    name = path.stem
    while name.endswith(loras.SUFFIX):
        name = name.removesuffix(loras.SUFFIX)
    return name or path.name


def _walk(base: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and the names of their files, each folder once however many links lead to it: by its
    own path if that is below the base as well. Those in a pipeline are left out, as are those that
    cannot be read."""
    entries, seen = 0, set()
    # Links are followed when all else is known, so they cannot hide it.
    starts = [base]
    while starts:
        for root, folders, files in os.walk(starts.pop(0)):
            here = Path(root)
            identity = _identity(here)
            if identity is None or identity in seen:
                folders.clear()
                continue
            seen.add(identity)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            entries += len(folders) + len(files)
            if entries > MAX_ENTRIES:
                return
            if INDEX in files or len(here.relative_to(base).parts) >= MAX_DEPTH:
                folders.clear()
            starts += (here / name for name in folders if (here / name).is_symlink())
            yield here, sorted(files)


def find_in_hub(cache: Path) -> Iterator[FoundModel]:
    """The repositories in a cache of the Hugging Face hub, at their newest revision there."""
    for repository in sorted(cache.glob("models--*--*")):
        name = "/".join(repository.name.split("--")[1:3])
        reference = repository / "refs" / "main"
        snapshots = sorted((repository / "snapshots").glob("*"))
        named = [
            each
            for each in snapshots
            if reference.is_file() and each.name == reference.read_text().strip()
        ]
        for snapshot in (named or snapshots)[-1:]:
            for found in find(snapshot, "hub"):
                whole = found.path == str(snapshot)
                yield found.model_copy(update={"name": name if whole else f"{name}: {found.name}"})


def _pipeline(folder: Path, source: str) -> FoundModel:
    return FoundModel(
        name=folder.name,
        kind="image",
        layout="diffusers",
        path=str(folder),
        size=sum(
            _size(Path(root, name)) or 0 for root, _, files in os.walk(folder) for name in files
        ),
        source=source,
    )


def _file(path: Path, base: Path, source: str) -> FoundModel | None:
    layout = _LAYOUTS.get(path.suffix.lower())
    size = _size(path)
    if layout is None or size is None or (layout == "pickle" and size < MIN_PICKLE_BYTES):
        return None
    if not _can_be_told(path):
        return None
    return FoundModel(
        name=name_of(path),
        kind=_kind(path, base, layout),
        layout=layout,
        path=str(path),
        size=size,
        source=source,
    )


def _can_be_told(path: Path) -> bool:
    """Whether an answer can have the path; the log says which could not."""
    if paths.is_text(path):
        return True
    _log.warning("model_left_out", path=paths.shown(path), reason="its path is not UTF-8")
    return False


def _kind(path: Path, base: Path, layout: ModelLayout) -> ModelKind:
    """By the nearest folder whose name tells; a GGUF file that lies nowhere in particular is a
    language model, and so is the one that sees for it. A1111 has the VAE of a checkpoint beside it,
    by a suffix."""
    if path.stem.lower().endswith(".vae"):
        return "vae"
    for folder in (*reversed(path.relative_to(base).parts[:-1]), base.name):
        if (kind := _KINDS.get(folder.lower())) is not None:
            return kind
    return "llm" if layout == "gguf" else "other"


def _size(path: Path) -> int | None:
    """Bytes; None for a link that leads nowhere."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _identity(folder: Path) -> tuple[int, int] | None:
    """Of a folder by whatever path; None if it is gone."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
