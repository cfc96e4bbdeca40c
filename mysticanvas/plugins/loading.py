"""Loads plug-ins one by one, so that a broken one harms nobody but itself."""

from __future__ import annotations

import importlib
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any

import pluggy

from mysticanvas import logs
from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.plugins import EngineSpec, LauncherSpec, PluginRecord, ToolSpec
from mysticanvas.errors import InvalidRequest
from mysticanvas.plugins import hookspecs
from mysticanvas.plugins.candidates import BUILTIN, Candidate, installed
from mysticanvas.plugins.registry import Registry, clash

_log = logs.get(__name__)
_REASON_CHARS = 300
_BRINGS: dict[str, type[Contract]] = {
    "engines": EngineSpec,
    "tools": ToolSpec,
    "launchers": LauncherSpec,
}


class Unfit(Exception):
    """It is no plug-in, or brings what is none of ours; the text says which."""


def load(choice: str, candidates: Iterable[Candidate] | None = None) -> Registry:
    """Load what comes with MystiCanvas, and what is installed beside it.

    Args:
        choice: `Settings.plugins`, which does not touch what comes with MystiCanvas.
        candidates: to try after the built-in one; by default those that are installed.
    """
    if candidates is None:
        candidates = [] if choice == "off" else installed()
    records = [tried(BUILTIN)]
    for candidate in candidates:
        if not wanted(candidate.name, choice):
            records.append(_record(candidate, state="disabled"))
            continue
        record = tried(candidate)
        taken = clash(record, records)
        records.append(_skipped(candidate, taken) if taken else record)
    return Registry(records)


def engine(kind: str, choice: str) -> EngineSpec:
    """The engine of that kind. For one of ours no plug-in is loaded: its worker runs nobody else's
    code.

    Raises:
        InvalidRequest: there is none.
    """
    ours = load("off")
    return ours.engine(kind) if kind in ours.engines else load(choice).engine(kind)


def launcher(spec: LauncherSpec) -> hookspecs.Launcher:
    """Import a launcher.

    Raises:
        InvalidRequest: it cannot be imported.
    """
    try:
        found: hookspecs.Launcher = import_path(spec.path)
    except KeyboardInterrupt:
        raise
    # Anybody's code runs here, as in `tried`.
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        raise InvalidRequest(
            f"The launcher {spec.name!r} cannot be imported from {spec.path}: {said}.",
            parameter="MYSTICANVAS_LAUNCHER",
            value=spec.name,
            allowed="a launcher that works",
            hint="Update its extension, or choose another launcher.",
        ) from error
    return found


def import_path(path: str) -> Any:
    """What a dotted path `package.module:Name` names.

    Raises:
        ImportError: there is no such module, or it has no such name.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise ImportError(f"{module} has no {name!r}") from error


def wanted(name: str, choice: str) -> bool:
    """Whether the setting lets a plug-in in: `all`, `off`, names of the only ones, or names with a
    `-` before them of those to leave out."""
    if choice in ("all", "off"):
        return choice == "all"
    named = {part.strip() for part in choice.split(",") if part.strip()}
    only = {part for part in named if not part.startswith("-")}
    return f"-{name}" not in named and (not only or name in only)


def tried(candidate: Candidate) -> PluginRecord:
    """Import a plug-in and ask it what it brings."""
    try:
        return _record(candidate, state="loaded", **_brought(candidate))
    except Unfit as error:
        return _skipped(candidate, str(error))
    except KeyboardInterrupt:
        raise
    # Anybody's code runs here; even a SystemExit, or worse, is its affair alone.
    except BaseException as error:  # noqa: BLE001
        return _skipped(candidate, f"{type(error).__name__}: {error}", error)


def _brought(candidate: Candidate) -> dict[str, tuple[Contract, ...]]:
    plugin = candidate.load()
    # A manager each: in a shared one, the error of one plug-in would be that of the call.
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, candidate.name)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise Unfit(f"{reprlib.repr(plugin)} has no function that is marked with @hookimpl")
    return {name: tuple(_called(manager, name, spec)) for name, spec in _BRINGS.items()}


def _called(manager: pluggy.PluginManager, name: str, spec: type[Contract]) -> Iterator[Contract]:
    hook = f"register_{name}"
    for given in getattr(manager.hook, hook)():
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise Unfit(f"{hook} gives {reprlib.repr(given)}, not a list of {spec.__name__}")
        for item in given:
            if not isinstance(item, spec):
                raise Unfit(f"{hook} gives {reprlib.repr(item)}, which is no {spec.__name__}")
            yield item


def _record(candidate: Candidate, **more: Any) -> PluginRecord:
    return PluginRecord(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        **more,
    )


def _skipped(candidate: Candidate, reason: str, error: BaseException | None = None) -> PluginRecord:
    reason = " ".join(reason.split())[:_REASON_CHARS]
    record = _record(candidate, state="skipped", reason=reason)
    _log.warning(
        "plugin_skipped",
        plugin=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        reason=reason,
        exc_info=error,
    )
    return record
