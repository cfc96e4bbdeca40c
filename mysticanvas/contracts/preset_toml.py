"""Presets as TOML: `[[image]]` and `[[llm]]` tables, one a preset.

Only what differs from the defaults is written. Paths may be relative to the folder of the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from mysticanvas.contracts import loras
from mysticanvas.contracts.presets import COMPUTED, ImagePreset, Preset
from mysticanvas.contracts.refusal import refused

MAX_BYTES = 1 << 20
MAX_PRESETS = 1000
_KINDS = ("image", "llm")
_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
"""How the names of single files end; those of hub ids often end in a version."""
_PATHS = ("model", "unet", "vae", "clip", "mmproj")

P = TypeVar("P", bound=Preset)


def write(presets: Iterable[Preset]) -> str:
    """The text of a file that holds presets."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for preset in presets:
        given = preset.model_dump(mode="json", exclude=set(COMPUTED), exclude_defaults=True)
        tables.setdefault(preset.KIND, []).append(_without_none(given))
    return tomli_w.dumps(tables)


def read(text: str, kind: type[P], folder: Path) -> list[P]:
    """The presets of one kind in the text of a file.

    Args:
        folder: what relative paths are relative to; it is not looked at.

    Raises:
        InvalidRequest: it is no TOML, holds something else, or a preset that is not allowed.
    """
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise refused("path", str(folder), "a TOML file", f"{str(error)[:200]}.") from None
    for name in value:
        if name not in _KINDS:
            raise refused("path", name, "tables named [[image]] and [[llm]]")
    tables = value.get(kind.KIND, [])
    if not isinstance(tables, list) or len(tables) > MAX_PRESETS:
        raise refused("path", kind.KIND, f"at most {MAX_PRESETS:,} tables [[{kind.KIND}]]")
    return [_preset(table, kind, folder) for table in tables]


def _preset(table: Any, kind: type[P], folder: Path) -> P:
    if not isinstance(table, dict):
        raise refused("path", table, f"a table [[{kind.KIND}]]")
    return within(kind(**table), folder)


def within(preset: P, folder: Path) -> P:
    """The preset with its relative paths below a folder; hub ids and names of LoRAs stay as they
    are, and so do paths that begin with `~`."""
    changes: dict[str, Any] = {}
    for name in _PATHS:
        value = getattr(preset, name, None)
        if isinstance(value, str):
            changes[name] = _below(value, folder, name)
        elif value:
            changes[name] = tuple(_below(each, folder, name) for each in value)
    if isinstance(preset, ImagePreset) and preset.loras:
        changes["loras"] = {
            _below(name, folder, "loras") if loras.is_path(name) else name: weight
            for name, weight in preset.loras.items()
        }
    return preset.replace(**changes)


def _below(path: str, folder: Path, member: str) -> str:
    """`owner/name` is a hub id; a path of two parts begins with `./`."""
    if path.startswith(("/", "~")):
        return path
    is_id = path.count("/") == 1 and not path.startswith(".") and not path.endswith(_FILES)
    if member == "model" and is_id:
        return path
    # Not resolved: what is linked may lie elsewhere.
    return str(folder.joinpath(path))


def _without_none(value: Any) -> Any:
    """TOML has no such value."""
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return value
