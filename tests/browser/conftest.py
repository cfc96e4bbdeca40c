"""A real browser on a real JupyterLab; both are started once and serve every test."""

from collections.abc import Iterator

import pytest
from browser import chromium, lab
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Route, sync_playwright
from support import processes_of

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_LOCAL = ("data:", "blob:")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Server]:
    """JupyterLab, whose kernels have a home of their own."""
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYSTICANVAS_HOME", str(folder / "home"))
        with lab.serve(folder) as server:
            yield server
    for process in processes_of(folder / "home"):
        process.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    assert path is not None, "no Chromium; CHROMIUM can name one"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


def complaint(said: ConsoleMessage) -> str | None:
    """What the page complains of, and where. That JupyterLab finds no language servers is none of
    our doing."""
    where = said.location["url"]
    return None if said.type != "error" or "/lsp/status" in where else f"{said.text} ({where})"


@pytest.fixture
def window(server: lab.Server, browser: Browser) -> Iterator[BrowserContext]:
    """A browser window that must stay without errors, and whose page must ask nobody else."""
    window = browser.new_context(viewport={"width": 1400, "height": 1000})
    errors: list[str] = []
    complaints: list[str | None] = []
    strangers: list[str] = []

    def guard(route: Route) -> None:
        if route.request.url.startswith((server.url, *_LOCAL)):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    window.route("**/*", guard)
    window.on("weberror", lambda error: errors.append(str(error.error)))
    window.on("console", lambda said: complaints.append(complaint(said)))
    yield window
    window.close()
    assert not errors
    assert not any(complaints), complaints
    assert not strangers


@pytest.fixture
def jupyter(server: lab.Server, window: BrowserContext) -> lab.Lab:
    return lab.Lab(server, window)
