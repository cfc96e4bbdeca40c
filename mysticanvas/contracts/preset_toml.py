"""Presets as TOML: `[[image]]` and `[[llm]]` tables, one a preset.

Only what differs from the defaults is written. Paths may be relative to the folder of the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from mysticanvas.contracts import loras
from mysticanvas.contracts.presets import COMPUTED, ImagePreset, Preset
from mysticanvas.errors import InvalidRequest

MAX_BYTES = 1 << 20
MAX_PRESETS = 1000
_KINDS = ("image", "llm")
_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
"""How the names of single files end; those of hub ids often end in a version."""
_PATHS = ("model", "unet", "vae", "clip", "mmproj")

P = TypeVar("P", bound=Preset)


def write(presets: Iterable[Preset]) -> str:
    """The text of a file that holds presets.

    Raises:
        InvalidRequest: TOML has no words for one of them; says which.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    for preset in presets:
        given = preset.model_dump(mode="json", exclude=set(COMPUTED), exclude_defaults=True)
        for member, value in given.items():
            if _has_none_in_a_list(value):
                raise _unwritable(preset, member)
        tables.setdefault(preset.KIND, []).append(_without_none(given))
    return tomli_w.dumps(tables)


def read(text: str, kind: type[P], file: Path) -> list[P]:
    """The presets of one kind in the text of a file.

    Args:
        file: names it in errors, and relative paths are relative to its folder; it is not looked
            at.

    Raises:
        InvalidRequest: it is no TOML, holds something else, or a preset that is not allowed; says
            which.
    """
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise unfit(file, f"it is no TOML ({str(error)[:200]})") from None
    except ValueError:
        raise unfit(file, "it has a whole number of too many digits") from None
    for name in value:
        if name not in _KINDS:
            raise unfit(file, f"it has {name[:80]!r}")
    tables = value.get(kind.KIND, [])
    if isinstance(tables, dict):
        raise unfit(file, f"[{kind.KIND}] is written with one bracket on each side, not with two")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise unfit(file, f"{kind.KIND!r} is something else than tables")
    if len(tables) > MAX_PRESETS:
        raise unfit(file, f"it has {len(tables):,} tables [[{kind.KIND}]]")
    presets = [_preset(table, kind, file, number) for number, table in enumerate(tables, 1)]
    _require_own_names(presets, file)
    return presets


def unfit(file: Path, why: str) -> InvalidRequest:
    """The error for a file from which no presets can be read."""
    allowed = f"a TOML file with at most {MAX_PRESETS:,} tables [[image]] and [[llm]] each"
    return InvalidRequest(
        f"{file} holds no presets that can be read: {why}. Allowed is {allowed}.",
        hint="`canvas.presets.image.export(path)` writes one.",
        parameter="path",
        value=str(file),
        allowed=allowed,
    )


def _preset(table: dict[str, Any], kind: type[P], file: Path, number: int) -> P:
    try:
        return within(kind(**table), file.parent)
    except InvalidRequest as error:
        named = f" ({table['name']!r:.80})" if isinstance(table.get("name"), str) else ""
        raise error.within(f"{file}, [[{kind.KIND}]] {number}{named}") from None


def _require_own_names(presets: Sequence[Preset], file: Path) -> None:
    numbers: dict[str, int] = {}
    for number, preset in enumerate(presets, 1):
        if (before := numbers.setdefault(preset.name, number)) != number:
            tables = f"tables {before} and {number} [[{preset.KIND}]]"
            raise unfit(file, f"{tables} have the same name, {preset.name[:80]!r}")


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
    """`owner/name` is a hub id, also with `:` and a file's name; a path of two parts begins with
    `./`."""
    if path.startswith(("/", "~")):
        return path
    hub_id = path.partition(":")[0]
    is_id = hub_id.count("/") == 1 and not hub_id.startswith(".") and not hub_id.endswith(_FILES)
    if member == "model" and is_id:
        return path
    # Not resolved: what is linked may lie elsewhere.
    return str(folder.joinpath(path))


def _unwritable(preset: Preset, member: str) -> InvalidRequest:
    return InvalidRequest(
        f"The preset {preset.name!r} cannot be written: its {member} has None within a list, and "
        "TOML has no such value. Allowed are presets without.",
        hint="Save it with another value, or name the presets to write: "
        f"`canvas.presets.{preset.KIND}.export(path, *names)`.",
        parameter="names",
        value=preset.name,
        allowed="presets without None within a list",
    )


def _has_none_in_a_list(value: Any, within: bool = False) -> bool:
    if isinstance(value, dict):
        return any(_has_none_in_a_list(each, within) for each in value.values())
    if isinstance(value, list):
        return any(_has_none_in_a_list(each, True) for each in value)
    return within and value is None


def _without_none(value: Any) -> Any:
    """TOML has no such value."""
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return value
