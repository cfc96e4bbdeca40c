"""`canvas.plugins`: what is installed beside MystiCanvas, and whether it works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mysticanvas.contracts.plugins import PluginRecord
from mysticanvas.errors import NotFound
from mysticanvas.session import table

_COLUMNS = ("plug-in", "distribution", "state", "brings")


class Plugins:
    """Plug-ins in the order in which they were tried, the built-in one first.

    Each has `.name`, `.distribution`, `.version`, `.state` (`loaded`, `skipped` or `disabled`),
    `.reason` if it was skipped, and `.engines`, `.tools` and `.launchers`. They are loaded when the
    orchestrator starts: after an installation, `canvas.shutdown()` makes the next call find it.

    Args:
        records: as the orchestrator lists them.
    """

    def __init__(self, records: Sequence[PluginRecord]) -> None:
        self._records = tuple(records)

    def __iter__(self) -> Iterator[PluginRecord]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, name: str) -> PluginRecord:
        """The plug-in of that name; the first, if two have it.

        Raises:
            NotFound: there is none.
        """
        for record in self._records:
            if record.name == name:
                return record
        known = ", ".join(repr(record.name) for record in self._records)
        raise NotFound(f"There is no plug-in {name!r}.", hint=f"There are: {known}.")

    def __repr__(self) -> str:
        lines = [f"<Plugins {len(self)}>"]
        for record in self._records:
            name, distribution, state, brings = _cells(record)
            lines.append(f"  {name} ({distribution}) {state}{': ' if brings else ''}{brings}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return table.of(_COLUMNS, map(_cells, self._records))


def _cells(record: PluginRecord) -> tuple[str, str, str, str]:
    brings = record.reason or ", ".join(record.brings)
    return record.name, f"{record.distribution} {record.version}", record.state, brings
