"""Which files of a model's folder are loaded, by the rules of diffusers and transformers: the
orchestrator takes their digests, and a worker loads them.

Both libraries take whatever an index of weights names. So what could have another file be loaded, a
pickle or one from elsewhere, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mysticanvas.errors import ModelFileError

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""Suffixes of files that can run any code when they are read."""
_DIFFUSERS = "diffusers"
LIBRARIES = (_DIFFUSERS, "transformers", "stable_diffusion")
"""Those that components come from; the last one is the home of its safety checker."""
MAX_JSON_BYTES = 4 << 20
_WEIGHTS = ".safetensors"
_PLAIN = re.compile(r"[^./\\\0][^/\\\0]*")
"""A visible file of the folder itself: others have no digest."""
_ELSEWHERE = "transformers_weights"
"""Has transformers load another file than the usual one."""
_AGAIN = "Copy or download the model again, completely."


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model.

    Raises:
        ModelFileError: the file cannot be read, is too large or holds something else.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ModelFileError(f"{path} is larger than a configuration can be.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} does not hold a JSON object.")
    return value


def components(index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and library of those that the pipeline has.

    Args:
        index: what `model_index.json` holds.
    """
    for name, value in index.items():
        if not name.startswith("_") and isinstance(value, list) and value and value[0] is not None:
            yield name, str(value[0])


def check_index(path: Path, index: Mapping[str, Any]) -> None:
    """Refuse components that are no folders of the model, or of no library that is run.

    Raises:
        ModelFileError: names the first one.
    """
    for name, library in components(index):
        if not name.isidentifier():
            raise ModelFileError(f"{path}: {name!r} is not the name of a folder.")
        if library not in LIBRARIES:
            raise ModelFileError(
                f"{path} takes {name!r} from {library!r}; code that a model brings with it is "
                "never run.",
                hint="Use a model whose components are classes of diffusers and transformers.",
            )


def check(component: Path) -> None:
    """Refuse a component's folder out of which something else could be loaded than safetensors
    files in it.

    Raises:
        ModelFileError: its weights are pickled, or are to come from elsewhere.
    """
    config = component / "config.json"
    if config.is_file() and _mentions(read_json(config), _ELSEWHERE):
        raise ModelFileError(
            f"{config} names the file of its weights itself ({_ELSEWHERE}), which is not followed.",
            hint="Load it where you trust it, then `save_pretrained(folder)`.",
        )
    for index in sorted(component.glob(f"*{_WEIGHTS}*.json")):
        _named(index)
    pickles = (path for path in sorted(component.iterdir()) if path.suffix in PICKLES)
    if (pickle := next(pickles, None)) and not any(component.glob(f"*{_WEIGHTS}")):
        raise pickled(pickle)


def stem_of(library: str) -> str:
    """How the name begins of the file that a library has the weights of a component in."""
    return "diffusion_pytorch_model" if library == _DIFFUSERS else "model"


def weights(component: Path, library: str, variant: str | None = None) -> list[Path]:
    """The files that the weights of a component are loaded from; none if it has no weights.

    Args:
        library: that the component comes from.
        variant: is taken where there is one, such as `fp16`.

    Raises:
        ModelFileError: an index names what is not there, or as `check`.
    """
    ours, stem = library == _DIFFUSERS, stem_of(library)
    if ours and variant:
        _require_no_old_index(component / f"{stem}{_WEIGHTS}.index.json", variant)
    for infix in (f".{variant}", "") if variant else ("",):
        whole = component / f"{stem}{infix}{_WEIGHTS}"
        index = component / f"{stem}{_WEIGHTS}.index{infix}.json"
        # Where both are there, diffusers looks for the index first, and transformers for the file.
        if index.is_file() and (ours or not whole.is_file()):
            return [_there(index, name) for name in _named(index)]
        if whole.is_file():
            return [whole]
    return []


def pickled(path: Path) -> ModelFileError:
    """The error for weights that can run any code when they are read."""
    return ModelFileError(
        f"{path.parent} has its weights as {path.name}, a pickle, which can run any code.",
        hint="Convert it: load it where you trust it, then "
        "`save_pretrained(folder, safe_serialization=True)`, or safetensors' `save_file`.",
    )


def _named(index: Path) -> list[str]:
    """The files that an index names.

    Raises:
        ModelFileError: one is no safetensors file of that folder.
    """
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict):
        raise ModelFileError(f"{index} has no weight_map.", hint=_AGAIN)
    for name in found.values():
        if isinstance(name, str) and name.endswith(PICKLES):
            raise pickled(index.parent / name)
        if not (isinstance(name, str) and _PLAIN.fullmatch(name) and name.endswith(_WEIGHTS)):
            raise ModelFileError(
                f"{index} names {str(name)[:200]!r}, which is no {_WEIGHTS} file beside it.",
                hint=_AGAIN,
            )
    return sorted(set(found.values()))


def _there(index: Path, name: str) -> Path:
    path = index.parent / name
    if not path.is_file():
        raise ModelFileError(f"{index} names {name!r}, which is not there.", hint=_AGAIN)
    return path


def _require_no_old_index(index: Path, variant: str) -> None:
    """Refuse an index of a variant under the name that diffusers once gave it, and still looks for:
    where that is depends on the dots in the whole path, and may be in another folder."""
    words = str(index).split(".")
    end = 3 if ".cache" in str(index) else 2
    old = Path(".".join([*words[:end], variant, *words[end:]]))
    if old.exists():
        raise ModelFileError(
            f"{old} is named as an old version of diffusers did.",
            hint=f"Rename it: {index.stem}.{variant}.json.",
        )


def _mentions(value: Any, key: str) -> bool:
    """Whether a key is anywhere in JSON; parts of a configuration become ones of their own."""
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, dict):
            if each.get(key) is not None:
                return True
            rest.extend(each.values())
        elif isinstance(each, list):
            rest.extend(each)
    return False
