"""What the plug-ins of a process brought, and which of them clash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from mysticanvas.contracts.plugins import DEFAULT_ENGINE, EngineSpec, LauncherSpec, PluginRecord
from mysticanvas.errors import InvalidRequest
from mysticanvas.settings import PREFIX

T = TypeVar("T")


class Registry:
    """Engines by kind, tools and launchers by name.

    Args:
        records: of all plug-ins, in the order in which they were tried; no two of them clash.
    """

    def __init__(self, records: Iterable[PluginRecord]) -> None:
        self.records = list(records)
        self.engines = {spec.kind: spec for record in self.records for spec in record.engines}
        self.tools = {spec.name: spec for record in self.records for spec in record.tools}
        self.launchers = {spec.name: spec for record in self.records for spec in record.launchers}

    def engine(self, kind: str) -> EngineSpec:
        """The engine of that kind.

        Raises:
            InvalidRequest: there is none.
        """
        return self._chosen("engine", kind, self.engines)

    def launcher(self, name: str) -> LauncherSpec:
        """The launcher of that name.

        Raises:
            InvalidRequest: there is none.
        """
        return self._chosen("launcher", name, self.launchers)

    def kind_for(self, pipeline: str) -> str:
        """Kind of the engine that runs models of that class."""
        for spec in self.engines.values():
            if pipeline in spec.pipelines:
                return spec.kind
        return DEFAULT_ENGINE

    def _chosen(self, parameter: str, name: str, known: Mapping[str, T]) -> T:
        if name in known:
            return known[name]
        skipped = [f"{each.name!r} ({each.reason})" for each in self.records if each.reason]
        raise InvalidRequest(
            f"No plug-in brings {parameter} {name!r}."
            + (f" Skipped: {'; '.join(skipped)}." if skipped else ""),
            parameter=PREFIX + parameter.upper(),
            value=name,
            allowed=", ".join(sorted(known)),
            hint="Install the extension that brings it, or choose another.",
        )


def clash(record: PluginRecord, earlier: Iterable[PluginRecord]) -> str:
    """What a plug-in has in common with one before it, or twice itself; empty if nothing."""
    taken: dict[str, str] = {}
    for each in earlier:
        taken |= dict.fromkeys(_claims(each), f"{each.name!r} of {each.distribution}")
    for claim in _claims(record):
        if claim in taken:
            return f"the {claim} is taken by {taken[claim]}"
        taken[claim] = "itself"
    return ""


def _claims(record: PluginRecord) -> Iterator[str]:
    yield f"name {record.name}"
    yield from record.brings
    for engine in record.engines:
        yield from (f"pipeline {name}" for name in engine.pipelines)
