"""The collection of workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mysticanvas.errors import NotFound
from mysticanvas.session import arguments, table

if TYPE_CHECKING:
    from mysticanvas.contracts.health import WorkerStatus
    from mysticanvas.contracts.presets import LLMPreset
    from mysticanvas.session.connection import Connection

_COLUMNS = ("worker", "state", "pid", "restarts", "preset", "memory", "last end")


class Workers:
    """The worker processes, as they are at the moment they are asked for.

    Args:
        connection: where they are asked for.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> list[WorkerStatus]:
        """All of them, with kind, pid, state, restarts, preset and memory in MiB; `reserve` is the
        process that stands by to take over from a worker that is lost."""
        return self._connection.call(lambda api: api.workers())

    def start(self, kind: str, preset: str | LLMPreset | None = None) -> None:
        """Start a worker that waits until it is needed, so that the first who needs it need not.

        Args:
            kind: such as `llm`; one that runs already is left alone.
            preset: that of a language model, or its name; the model is loaded, and room is made for
                it as for a picture. Without use it leaves after `keep_alive_s`, or with
                `canvas.unload()`.

        Raises:
            InvalidRequest: an argument is none of that.
            NotFound: there is no such kind, or no such preset.
            PresetError, ModelFileError: the preset's model cannot be used.
            DoesNotFit: there is no room to be made for it.
        """
        which = _kind(kind)
        name = None if preset is None else arguments.preset_name(preset)
        self._connection.call(lambda api: api.start_worker(which, name))

    def reset(self, kind: str | None = None) -> None:
        """Forget that a worker has failed, and start it at once if it is not there.

        Args:
            kind: such as `image`; None for all.

        Raises:
            InvalidRequest: that is no text.
            NotFound: there is no such kind.
        """
        which = None if kind is None else _kind(kind)
        self._connection.call(lambda api: api.reset_workers(which))

    def __getitem__(self, which: int | str) -> WorkerStatus:
        found = self.list()
        if isinstance(which, int):
            return found[which]
        for status in found:
            if status.kind == which:
                return status
        known = ", ".join(sorted({status.kind for status in found}))
        raise NotFound(f"There is no worker of the kind {which!r}.", hint=f"There is: {known}.")

    def __iter__(self) -> Iterator[WorkerStatus]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def __repr__(self) -> str:
        return "\n".join(map(_line, self.list()))

    def _repr_html_(self) -> str:
        return table.of(_COLUMNS, map(_cells, self.list()))


def _kind(value: object) -> str:
    if not isinstance(value, str):
        raise arguments.refused("kind", value, 'the kind of a worker, such as "image" or "llm"')
    return value


def _line(status: WorkerStatus) -> str:
    """A worker in words."""
    kind, state, pid, restarts, preset, *others = _cells(status)
    process = f"pid {pid}" if pid else ""
    begun = "1 restart" if restarts == "1" else f"{restarts} restarts"
    return " · ".join(filter(None, [kind, state, process, begun, preset or "no model", *others]))


def _cells(status: WorkerStatus) -> tuple[str, ...]:
    """A worker as people read it, a text a column."""
    state = status.state.value
    if status.retry_s is not None:
        state += ": canvas.workers.reset() starts it again"
    return (
        status.kind,
        state,
        str(status.pid or ""),
        str(status.restarts),
        status.preset or "",
        _memory(status),
        status.last_error,
    )


def _memory(status: WorkerStatus) -> str:
    own = f"{status.memory:.0f} MiB" if status.pid else ""
    if status.reserve is None:
        return own
    stands_by = f"{status.reserve.memory:.0f} MiB in reserve (pid {status.reserve.pid})"
    return f"{own} + {stands_by}" if own else stands_by
