"""JupyterLab as a user has it before them, driven by its own commands rather than by keys."""

import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import BrowserContext, Locator, Page

READY_MS = 90_000
_SETTINGS = {
    # Its toast would cover the corner, and asks the network.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
_KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


class Server(NamedTuple):
    """A running JupyterLab."""

    url: str
    token: str
    root: Path
    """The folder that it shows."""


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run JupyterLab with nothing of the user's own; all it writes is below `folder`."""
    root = folder / "notebooks"
    root.mkdir(parents=True)
    _write_settings(folder / "settings")
    token = secrets.token_hex()
    with subprocess.Popen(
        _command(root), env=_environment(folder, token), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        log = [*_until(process.stderr, "http://127.0.0.1:")]
        assert process.poll() is None, "".join(log)
        address = re.search(r"http://127\.0\.0\.1:\d+", log[-1])
        assert address is not None, "".join(log)
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            yield Server(address[0], token, root)
        finally:
            process.terminate()
            drain.join()


class Notebook:
    """A notebook in a tab of the browser."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path

    def run_all(self) -> None:
        """Start every cell, without waiting for any."""
        self.page.evaluate("() => void jupyterapp.commands.execute('notebook:run-all-cells')")

    def save(self) -> None:
        """Save, and wait until it is saved."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.context.save()")

    def stop(self) -> None:
        """The stop button."""
        self.page.get_by_role("button", name=re.compile("Interrupt the kernel")).click()

    def output(self, cell: int) -> Locator:
        """What a cell shows."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-Cell-outputArea")


class Lab:
    """A browser window on JupyterLab."""

    def __init__(self, server: Server, window: BrowserContext) -> None:
        self.server = server
        self.page = window.new_page()

    def write(self, name: str, *cells: str) -> Path:
        """A notebook of code cells that never ran."""
        path = self.server.root / name
        path.write_text(json.dumps(_notebook(cells)))
        return path

    def open(self, path: Path) -> Notebook:
        """Open a notebook, and wait for its kernel."""
        self._visit(f"/lab/tree/{path.name}")
        self.page.evaluate(
            """async () => {
                const session = jupyterapp.shell.currentWidget.sessionContext;
                await session.ready;
                await session.session.kernel.info;
            }"""
        )
        return Notebook(self.page, path)

    def read(self, path: Path) -> Notebook:
        """End every kernel, then open a notebook without one."""
        self._visit("/lab")
        self.page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
        self.page.evaluate(
            """path => jupyterapp.commands.execute('docmanager:open', {
                path, factory: 'Notebook', kernelPreference: {shouldStart: false, canStart: false}
            })""",
            path.name,
        )
        self._wait_for_notebook()
        return Notebook(self.page, path)

    def _visit(self, place: str) -> None:
        self.page.goto(
            f"{self.server.url}{place}?reset&token={self.server.token}", timeout=READY_MS
        )
        self.page.wait_for_function("() => window.jupyterapp?.shell", timeout=READY_MS)
        self.page.evaluate("() => jupyterapp.restored")
        if place != "/lab":
            self._wait_for_notebook()

    def _wait_for_notebook(self) -> None:
        self.page.wait_for_function(
            "() => jupyterapp.shell.currentWidget?.context?.isReady", timeout=READY_MS
        )


def _notebook(cells: tuple[str, ...]) -> dict[str, Any]:
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": _KERNELSPEC},
        "cells": [
            {
                "id": f"cell-{number}",
                "cell_type": "code",
                "source": source,
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(cells)
        ],
    }


def _command(root: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"),
        *(["--allow-root"] if os.geteuid() == 0 else []),
        # Any port that is free; the log says which.
        "--port=0",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ]


def _environment(folder: Path, token: str) -> dict[str, str]:
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    places = {name: str(folder / place) for name, place in own.items()}
    return {**os.environ, **places, "JUPYTER_TOKEN": token}


def _write_settings(folder: Path) -> None:
    for name, settings in _SETTINGS.items():
        file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(settings))


def _until(lines: Iterator[str], sign: str) -> Iterator[str]:
    """The lines up to the first that has the sign, or to the end."""
    for line in lines:
        yield line
        if sign in line:
            return
