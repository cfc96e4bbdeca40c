"""Run the notebooks again and save what they show: `python notebooks/execute.py`.

They run in a home of their own. A notebook in which a reader would see nothing new stays as it was:
seconds, ids and the bytes of a PNG are different in every run.
"""

from __future__ import annotations

import base64
import copy
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbval.plugin import get_sanitize_patterns
from PIL import Image

FOLDER = Path(__file__).parent
CELL_TIMEOUT_S = 600
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""All that is kept: the rest says what the author happened to have installed."""
_NOTHING = {"text/html": "<div></div>", "text/plain": ""}
_PATTERNS = get_sanitize_patterns((FOLDER / "sanitize.cfg").read_text())


def execute(path: Path) -> bool:
    """Run one notebook in place; whether a reader sees anything new, and it was written."""
    notebook = nbformat.read(path, as_version=4)
    before = copy.deepcopy(notebook)
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        # The progress of a wait goes without a trace.
        if "outputs" in cell:
            cell.outputs = [each for each in cell.outputs if each.get("data") != _NOTHING]
    if _look_alike(before, notebook):
        return False
    nbformat.write(notebook, path)
    return True


def _look_alike(before: NotebookNode, after: NotebookNode) -> bool:
    """Whether a reader sees the same: equal text but for seconds and ids, equal pixels."""
    return before.metadata == after.metadata and _outputs(before) == _outputs(after)


def _outputs(notebook: NotebookNode) -> list[list[dict[str, Any]]]:
    return [[_seen(output) for output in cell.get("outputs", [])] for cell in notebook.cells]


def _seen(output: NotebookNode) -> dict[str, Any]:
    seen: dict[str, Any] = {"text": _sanitized(output.get("text", "")), **output.get("data", {})}
    return {kind: _content(kind, value) for kind, value in seen.items()}


def _content(kind: str, value: Any) -> Any:
    if kind == "image/png":
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(value))))
        return pixels.shape, pixels.tobytes()
    return _sanitized(value) if isinstance(value, str) else value


def _sanitized(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = re.sub(pattern, replacement, text)
    return text


def main(names: list[str]) -> None:
    """Run the notebooks that are named; all of them if none is."""
    with tempfile.TemporaryDirectory(prefix="mysticanvas-notebooks-") as folder:
        os.environ["MYSTICANVAS_HOME"] = str(Path(folder) / "home")
        # What a notebook that fails leaves behind ends by itself.
        os.environ["MYSTICANVAS_IDLE_TIMEOUT_S"] = "30"
        # A user's own kernel of the same name would be another Python.
        os.environ["JUPYTER_DATA_DIR"] = folder
        for path in [Path(name) for name in names] or sorted(FOLDER.glob("*.ipynb")):
            written = execute(path)
            print(f"{path.name}: {'written' if written else 'nothing new'}")


if __name__ == "__main__":
    main(sys.argv[1:])
