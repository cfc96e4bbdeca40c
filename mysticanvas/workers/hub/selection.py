"""Which files of a repository a local model needs: a pure decision, by names and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import NamedTuple

from mysticanvas.errors import InvalidRequest, ModelFileError
from mysticanvas.model_folders import PICKLES

WEIGHTS = (".safetensors", ".gguf")
OTHERS = (".json", ".txt", ".model", ".jinja")
"""Configurations, vocabularies, tokenizers and templates."""
_INDEX = "model_index.json"
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|fp8|non_ema|ema)(?=[.-])")
"""What names of copies have in them; the plain ones are those that are loaded."""
_MAX_NAMED = 12


class RepoFile(NamedTuple):
    """A file of a repository."""

    name: str
    """Path in it, with forward slashes."""
    size: int
    digest: str
    """SHA-256 of a large file, or git's SHA-1 of a small one: the name that the cache knows it
    by."""

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()


class Selection(NamedTuple):
    """What is fetched, and the names of what is not."""

    taken: list[RepoFile]
    left_out: list[str]


def select(repo_id: str, files: Iterable[RepoFile], patterns: Sequence[str] = ()) -> Selection:
    """Choose among the files of a repository.

    In a pipeline's folder, single files beside its components and copies in other number formats
    are left out. Pickles and code are so always.

    Args:
        patterns: weights are taken only if their name fits one of them; none for all.

    Raises:
        InvalidRequest: no file fits, or it is not clear which of several models is meant.
        ModelFileError: there is nothing that could be loaded.
    """
    files = sorted(files)
    names = {file.name for file in files}
    others = [file for file in files if file.suffix in OTHERS and _is_safe(file.name)]
    every = [file for file in files if file.suffix in WEIGHTS and _is_safe(file.name)]
    if patterns:
        weights = [file for file in every if any(fnmatch(file.name, each) for each in patterns)]
        if not weights:
            raise _unclear(repo_id, f"No weights of {repo_id!r} fit {list(patterns)}.", every)
    else:
        weights = [
            file
            for file in every
            if not _is_copy(file, names) and not (_INDEX in names and "/" not in file.name)
        ]
    if not weights:
        pickled = any(file.suffix in PICKLES for file in files)
        what = "pickles alone, which can run any code" if pickled else "no weights"
        raise ModelFileError(
            f"The repository {repo_id!r} holds {what}; nothing was fetched.",
            hint="Take one that has .safetensors or .gguf files.",
        )
    models = {_whole(file.name) for file in weights if _is_language_model(file)}
    if len(models) > 1 and not patterns:
        raise _unclear(repo_id, f"{repo_id!r} has {len(models)} models.", weights)
    if _INDEX in names and all("/" not in file.name for file in weights):
        # Without its components, a pipeline's folder would look like one and be none.
        others = []
    taken = sorted([*others, *weights])
    left = names - {file.name for file in taken}
    return Selection(taken, sorted(left))


def _is_safe(name: str) -> bool:
    """Whether it is a path that stays within a folder."""
    return not (name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts)


def _is_copy(file: RepoFile, names: set[str]) -> bool:
    """Whether the same weights are there under a plain name, in as many parts as it may be."""
    plain = _VARIANT.sub("", file.name, count=1)
    return plain != file.name and _whole(plain) in map(_whole, names)


def _whole(name: str) -> str:
    """The name that weights in parts would have in one file."""
    return re.sub(r"-\d{5}-of-\d{5}(?=\.\w+$)", "", name)


def _is_language_model(file: RepoFile) -> bool:
    return file.suffix == ".gguf" and "mmproj" not in file.name.lower()


def _unclear(repo_id: str, what: str, weights: Sequence[RepoFile]) -> InvalidRequest:
    named = [f"{file.name} ({file.size / 2**20:,.0f} MiB)" for file in weights[:_MAX_NAMED]]
    more = len(weights) - len(named)
    allowed = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    return InvalidRequest(
        f"{what} There are: {allowed}.",
        hint=f'Choose: canvas.models.pull({repo_id!r}, files="*Q4_K_M.gguf"), say.',
        parameter="files",
        value="",
        allowed=allowed,
    )
