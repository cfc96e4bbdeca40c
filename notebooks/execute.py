"""Run the notebooks again and save what they show: `python notebooks/execute.py`.

They run in a home of their own. What a reader would not see as different stays as it was, so that
a new run changes as little as possible.
"""

from __future__ import annotations

import base64
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
_PATTERNS = get_sanitize_patterns((FOLDER / "sanitize.cfg").read_text())


def execute(path: Path) -> None:
    """Run one notebook in place."""
    notebook = nbformat.read(path, as_version=4)
    before = [list(cell.get("outputs", [])) for cell in notebook.cells]
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    for cell, outputs in zip(notebook.cells, before, strict=True):
        if outputs and _look_alike(outputs, cell.outputs):
            cell.outputs = outputs
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.write(notebook, path)


def _look_alike(before: list[NotebookNode], after: list[NotebookNode]) -> bool:
    """Whether a reader sees the same: equal text but for seconds and ids, equal pixels."""
    return len(before) == len(after) and all(
        _seen(old) == _seen(new) for old, new in zip(before, after, strict=True)
    )


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
        # A user's own kernel of the same name would be another Python.
        os.environ["JUPYTER_DATA_DIR"] = folder
        for path in [Path(name) for name in names] or sorted(FOLDER.glob("*.ipynb")):
            execute(path)
            print(f"executed {path.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
