"""What somebody sees who makes their first picture in JupyterLab."""

import re

import pytest
from browser.lab import Lab, Notebook
from playwright.sync_api import Locator, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

ATTACH = "from mysticanvas import Canvas\n\ncanvas = Canvas(project='browser')"
SLOW = "canvas.generate('a red circle', num_inference_steps=60, seed=7)"
FINAL_LINE = re.compile(r"^\d+\.\d s · seed 7 · id [0-9a-f]{8}$")
DONE_MS = 180_000


def natural_size(picture: Locator) -> list[int]:
    size: list[int] = picture.evaluate(
        "async img => { await img.decode(); return [img.naturalWidth, img.naturalHeight] }"
    )
    return size


def picture(notebook: Notebook, cell: int) -> Locator:
    """The result of a cell; the preview is no PNG."""
    return notebook.output(cell).locator('img[src^="data:image/png"]')


def test_a_picture_is_drawn_before_ones_eyes_and_is_still_there_when_reopened(
    jupyter: Lab,
) -> None:
    notebook = jupyter.open(jupyter.write("picture.ipynb", ATTACH, SLOW))
    notebook.run_all()
    output = notebook.output(1)
    output.get_by_role("progressbar", name="drawing").wait_for(timeout=DONE_MS)
    expect(output.get_by_text(FINAL_LINE)).to_be_visible(timeout=DONE_MS)
    expect(output.get_by_role("progressbar")).to_have_count(0, timeout=DONE_MS)
    expect(picture(notebook, 1)).to_be_visible(timeout=DONE_MS)
    assert natural_size(picture(notebook, 1)) == [128, 128]
    notebook.save()

    reopened = jupyter.read(notebook.path)
    assert natural_size(picture(reopened, 1)) == [128, 128]
    expect(reopened.output(1).get_by_text(FINAL_LINE)).to_be_visible(timeout=DONE_MS)
    assert jupyter.page.evaluate(
        "() => jupyterapp.shell.currentWidget.sessionContext.session === null"
    )


def test_the_stop_button_leaves_one_line_and_runs_nothing_more(jupyter: Lab) -> None:
    notebook = jupyter.open(
        jupyter.write("stop.ipynb", ATTACH, SLOW.replace("60", "900"), "print('not reached')")
    )
    notebook.run_all()
    notebook.output(1).get_by_role("progressbar", name="drawing").wait_for(timeout=DONE_MS)
    notebook.stop()
    stopped = re.compile(r"^Stopped: job [0-9a-f]{8} was cancelled\.$")
    expect(notebook.output(1).get_by_text(stopped)).to_be_visible(timeout=DONE_MS)
    expect(notebook.output(1).get_by_role("progressbar")).to_have_count(0, timeout=DONE_MS)
    expect(notebook.output(1)).to_have_text(stopped, timeout=DONE_MS)
    expect(notebook.output(2)).to_have_text("")
