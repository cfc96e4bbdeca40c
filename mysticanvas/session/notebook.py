"""The notebook around us, if there is one. IPython is used where it is, and never loaded."""

from __future__ import annotations

import sys
from typing import Any

from mysticanvas.contracts.ids import new_id


def in_notebook() -> bool:
    """Whether what is displayed reaches a notebook: this process is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def display(value: Any) -> None:
    """Show a value in the cell that runs."""
    _ipython_display()(value)


class Area:
    """A place in the output of the cell that runs, whose content can be replaced.

    Args:
        identifier: a name of its own within the notebook.
    """

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._made = False
        self.filled = False
        """Whether there is anything to be seen."""

    def show(self, html: str, text: str) -> None:
        """Put this there, in place of what was.

        Args:
            html: for a notebook.
            text: the same for what shows no HTML.
        """
        _ipython_display()(
            {"text/html": html, "text/plain": text},
            raw=True,
            display_id=self._identifier,
            update=self._made,
        )
        self._made, self.filled = True, bool(text)


_shared: tuple[str, Area] | None = None


def area_of_cell() -> Area:
    """The one place that all waits of the cell that runs share: an output that was made can be
    emptied and not removed, and a cell may wait hundreds of times."""
    global _shared
    cell = _cell()
    if _shared is None or not cell or _shared[0] != cell:
        _shared = cell, Area(new_id())
    return _shared[1]


def _cell() -> str:
    """The id of the message that had the cell run, which what it shows is sent with; empty if it is
    not known."""
    shell = sys.modules["IPython"].get_ipython()
    header: dict[str, str] = getattr(shell.display_pub, "parent_header", None) or {}
    return header.get("msg_id", "")


def _ipython_display() -> Any:
    from IPython import display

    return display.display
