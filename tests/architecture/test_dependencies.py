"""Where which library may be imported: an allow-list each, over the source text."""

import ast
import functools
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mysticanvas"
ALLOWED = {
    "duckdb": ("store/",),
    "torch": ("workers/image/",),
    "diffusers": ("workers/image/",),
    "transformers": ("workers/image/",),
    "safetensors": ("workers/image/",),
    "llama_cpp": ("workers/llm/",),
    "huggingface_hub": ("workers/hub/",),
    "fastapi": ("web/", "orchestrator/api/", "orchestrator/app.py", "workers/server.py"),
    "uvicorn": ("web/",),
    "websockets": ("client/events.py", "transport.py"),
    "socket": ("transport.py", "client/events.py", "orchestrator/supervisor/client.py"),
    "structlog": ("logs/structured.py", "workers/executor.py"),
    "IPython": ("session/",),
    "pandas": ("session/",),
    "pyarrow": ("session/", "store/"),
    "pluggy": ("plugins/",),
    "tomli_w": ("contracts/preset_toml.py",),
    "fcntl": ("locks.py",),
    "ctypes": ("processes.py",),
}


@functools.cache
def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("library", ALLOWED)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if library in imports(path)
    ]
    strays = [user for user in users if not user.startswith(ALLOWED[library])]
    assert not strays
    unused = [place for place in ALLOWED[library] if not any(u.startswith(place) for u in users)]
    assert not unused


def pure() -> list[Path]:
    """What is said to decide without anything from outside."""
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    [said] = re.findall(r"^\* \*\*Decisions are pure.*?(?=^\* )", text, re.MULTILINE | re.DOTALL)
    folders, modules = [], []
    for name in re.findall(r"`([\w/.]+)`", said):
        (folders if name.endswith("/") else modules).append(name)
    found = [PACKAGE / "orchestrator" / name for name in modules]
    return [*found, *(path for name in folders for path in (PACKAGE / name).glob("*.py"))]


@pytest.mark.parametrize("path", pure(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_decides_takes_nothing_from_outside(path: Path) -> None:
    outside = {"threading", "subprocess", "socket", "time", "random", "os", "shutil", "psutil"}
    assert not imports(path) & outside
    assert "mysticanvas.store" not in path.read_text()


def test_every_module_is_small() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
