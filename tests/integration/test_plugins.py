"""Plug-ins through all processes, in an environment of their own with a broken one beside."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
from mysticanvas_echo import MODEL, make_model

from mysticanvas.environment import child_environment

BESIDE = {
    "noting.py": """
from pathlib import Path

from mysticanvas import processes
from mysticanvas.plugins.hookspecs import LauncherSpec, hookimpl

@hookimpl
def register_launchers():
    return [LauncherSpec(name="noting", path="noting:spawn")]

def spawn(module, arguments, *, environment, secret):
    images = Path(arguments[arguments.index("--images") + 1])
    (images.parent / "logs" / "noted.txt").write_text(module)
    return processes.spawn(module, arguments, environment=environment, secret=secret)
""",
    "noting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: noting\nVersion: 1.0\n",
    "noting-1.0.dist-info/entry_points.txt": "[mysticanvas]\nnoting = noting\n",
    "broken_hook.py": """
from mysticanvas.plugins.hookspecs import hookimpl

@hookimpl
def register_engines():
    raise RuntimeError("the hook fails")
""",
    "broken-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: broken\nVersion: 2.0\n",
    "broken-2.0.dist-info/entry_points.txt": """
[mysticanvas]
absent = broken_absent
hook = broken_hook
""",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with all that this one has, a plug-in that works and two that do not."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": folder}))
    ours = [path for path in sys.path if path.endswith("site-packages")]
    root = str(Path(__file__).parents[2])
    lines = [root, *(f"import site; site.addsitedir({path!r})" for path in ours)]
    (site / "ours.pth").write_text("".join(f"{line}\n" for line in lines))
    for name, text in BESIDE.items():
        path = site / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return python


PROGRAM = """
import json, sys
from mysticanvas import Canvas, MystiCanvasError
home, preset = sys.argv[1:]
with Canvas(home=home) as canvas:
    said = {"plugins": [p.model_dump(mode="json") for p in canvas.plugins]}
    said["text"], said["html"] = repr(canvas.plugins), canvas.plugins._repr_html_()
    try:
        job = canvas.submit("hello", preset=preset, seed=7, width=64, height=64,
                            num_inference_steps=3)
        image = job.result(timeout=120)
        said["pixel"] = image.pil().getpixel((0, 0))
        said["recipe"] = image.recipe.model_dump(mode="json")
    except MystiCanvasError as error:
        said["error"], said["hint"] = str(error), error.hint
    said["worker"] = canvas.workers[0].kind
    said["kernel"] = [name for name in sys.modules if name.startswith(("pluggy", "mysticanvas_echo",
                      "broken", "mysticanvas.plugins"))]
    canvas.shutdown(force=True)
print(json.dumps(said))
"""


def run(python: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *map(str, words)],
        env=child_environment(environment),
        capture_output=True,
        text=True,
        check=False,
    )


def said(python: Path, home: Path, preset: str, **environment: str) -> dict[str, Any]:
    ended = run(python, "-c", PROGRAM, home, preset, **environment)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_echo_draws_and_a_broken_plugin_beside_it_is_reported(python: Path, home: Path) -> None:
    from mysticanvas_echo.drawing import draw

    told = said(python, home, MODEL, MYSTICANVAS_ENGINE="echo", MYSTICANVAS_LAUNCHER="noting")
    assert tuple(told["pixel"]) == draw("hello", 7, (64, 64)).getpixel((0, 0))
    assert told["recipe"]["pipeline"] == "EchoPipeline"
    assert told["recipe"]["environment"]["versions"] == {"mysticanvas-echo": "0.1.0"}
    assert (told["worker"], told["kernel"]) == ("echo", [])
    state = {each["name"]: (each["state"], each["reason"]) for each in told["plugins"]}
    assert state == {
        "builtin": ("loaded", ""),
        "absent": ("skipped", "ModuleNotFoundError: No module named 'broken_absent'"),
        "hook": ("skipped", "RuntimeError: the hook fails"),
        "echo": ("loaded", ""),
        "noting": ("loaded", ""),
    }
    assert (home / "logs" / "noted.txt").read_text() == "mysticanvas.workers"
    assert "hook (broken 2.0) skipped: RuntimeError: the hook fails" in told["text"]
    assert ">skipped</td>" in told["html"]
    log = (home / "logs" / "orchestrator.jsonl").read_text().splitlines()
    lines = [line for line in map(json.loads, log) if line["event"] == "plugin_skipped"]
    assert [(line["plugin"], line["distribution"], line["version"]) for line in lines] == [
        ("absent", "broken", "2.0"),
        ("hook", "broken", "2.0"),
    ]

    ended = run(python, "-m", "mysticanvas", "doctor", "--json", "--home", home)
    assert ended.returncode == 0, ended.stderr
    findings = {each["check"]: each for each in json.loads(ended.stdout)["findings"]}
    assert findings["plugins"]["state"] == "warning"
    assert "hook (broken 2.0): RuntimeError: the hook fails" in findings["plugins"]["examples"]


def test_a_model_of_another_engine_is_refused_with_what_to_do(
    python: Path, home: Path, tmp_path: Path
) -> None:
    told = said(python, home, make_model(tmp_path / "slow", seconds_per_step=1))
    assert "needs the engine 'echo'; the worker of this orchestrator is 'image'" in told["error"]
    assert "MYSTICANVAS_ENGINE=echo" in told["hint"]


def test_an_engine_that_no_plugin_brings_keeps_the_orchestrator_from_starting(
    python: Path, home: Path
) -> None:
    chosen = {"MYSTICANVAS_ENGINE": "echo", "MYSTICANVAS_PLUGINS": "off"}
    ended = run(python, "-c", PROGRAM, home, MODEL, **chosen)
    assert ended.returncode == 1
    assert "No plug-in brings engine 'echo'" in ended.stderr
