"""An installation that is found by PYTHONPATH alone, as with the module system of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pydantic
import pytest

import mysticanvas

BOUGHT = [str(Path(module.__file__ or "").parents[1]) for module in (mysticanvas, pydantic)]
"""Where the package and its libraries are, in the order in which they are looked for."""
USE = """
    import sys
    from mysticanvas import Canvas
    with Canvas(home=sys.argv[1]) as canvas:
        print(canvas.generate("x", preset=sys.argv[2], num_inference_steps=1).width)
        canvas.shutdown()
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A Python without any package."""
    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


def test_its_processes_find_it_as_their_kernel_does(home: Path, bare: Path, tiny_sd: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(BOUGHT)}
    command = [bare, "-c", textwrap.dedent(USE), home, tiny_sd]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "64\n"), told.stderr


def test_what_a_notebook_alone_was_given_is_named_with_what_to_do(home: Path, bare: Path) -> None:
    code = f"import sys; sys.path[:0] = {BOUGHT!r}\n{textwrap.dedent(USE)}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [bare, "-c", code, home, ""]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert f"This kernel finds mysticanvas in {BOUGHT[0]}, and a new process" in told.stderr
    assert "PYTHONPATH" in told.stderr
