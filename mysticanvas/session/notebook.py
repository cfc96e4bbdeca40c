"""The notebook around us, if there is one. IPython is used where it is, and never loaded."""

from __future__ import annotations

import sys
from typing import Any


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
        self.shown = False
        """Whether anything was put there yet."""

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
            update=self.shown,
        )
        self.shown = True


def _ipython_display() -> Any:
    from IPython import display

    return display.display
