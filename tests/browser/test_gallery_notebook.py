"""The second notebook of the tour, as a reader sees it who runs it in JupyterLab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browser.lab import Lab, Notebook
from playwright.sync_api import Locator, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_gallery_and_search.ipynb"
SAVED: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
CODE = [number for number, cell in enumerate(SAVED) if cell["cell_type"] == "code"]
DONE_MS = 300_000
SHOWN_MS = 60_000
"""For a cell that is scrolled to: it is drawn only then."""


def kinds(cell: dict[str, Any]) -> set[str]:
    """The kinds of output that a cell was saved with."""
    return {kind for output in cell["outputs"] for kind in output.get("data", {"stream": ""})}


def shown(cell: dict[str, Any]) -> str:
    """The HTML that a cell was saved with."""
    return "".join(
        line for output in cell["outputs"] for line in output.get("data", {}).get("text/html", [])
    )


def words(cell: dict[str, Any]) -> str:
    """What a cell that shows text alone was saved with."""
    [output] = cell["outputs"]
    return "".join(output.get("text") or output["data"]["text/plain"]).strip()


@pytest.fixture
def notebook(jupyter: Lab) -> Notebook:
    """The notebook as it is, but for its outputs; run to its end."""
    path = jupyter.server.root / NOTEBOOK.name
    content = json.loads(NOTEBOOK.read_text())
    for number in CODE:
        content["cells"][number].update(outputs=[], execution_count=None)
    path.write_text(json.dumps(content))
    notebook = jupyter.open(path)
    notebook.run_all()
    last = notebook.page.locator(".jp-Notebook .jp-Cell").nth(CODE[-1])
    expect(last.locator(".jp-InputPrompt")).to_have_text(f"[{len(CODE)}]:", timeout=DONE_MS)
    return notebook


def sizes(pictures: Locator) -> list[list[int]]:
    found: list[list[int]] = pictures.evaluate_all(
        """images => Promise.all(images.map(async image => {
            await image.decode();
            return [image.naturalWidth, image.naturalHeight];
        }))"""
    )
    return found


def test_every_cell_shows_what_it_was_saved_with(notebook: Notebook) -> None:
    for number in CODE:
        output, saved = notebook.output(number), SAVED[number]
        notebook.page.locator(".jp-Notebook .jp-Cell").nth(number).scroll_into_view_if_needed()
        expect(output.locator(".jp-RenderedText[data-mime-type$=stderr]")).to_have_count(0)
        if "image/png" in kinds(saved):
            expect(output.locator("img")).to_have_count(1, timeout=SHOWN_MS)
            [size] = sizes(output.locator("img"))
            assert min(size) >= 128, number
        elif figures := shown(saved).count("<figure"):
            expect(output.locator("figure img")).to_have_count(figures, timeout=SHOWN_MS)
            assert min(map(min, sizes(output.locator("img")))) >= 128, number
        elif "text/html" in kinds(saved):
            expect(output.locator("table tr").nth(2)).to_be_attached(timeout=SHOWN_MS)
        elif kinds(saved):
            assert output.locator("pre").inner_text().strip() == words(saved), number
        fits = "area => area.scrollWidth <= area.clientWidth"
        assert output.evaluate(fits), f"cell {number} is wider than the page"
