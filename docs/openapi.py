"""Writes the OpenAPI documents of orchestrator and worker beside itself: `make openapi`.

A test compares them with what the running processes answer at `/openapi.json`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.settings import Settings
from mysticanvas.workers.executor import EngineExecutor
from mysticanvas.workers.server import create_app

HERE = Path(__file__).parent / "openapi"


def orchestrator() -> dict[str, Any]:
    """The document of an orchestrator, which is put together and never started."""
    with tempfile.TemporaryDirectory() as home:
        HomePaths.of(Path(home)).create()
        assembled = Orchestrator(Settings.load(home=home))
        document = assembled.app.openapi()
        assembled.listener.close()
        assembled.store.close()
    return document


def worker() -> dict[str, Any]:
    """The document of a worker, which is the same for every engine but for the name."""
    return create_app("image", EngineExecutor(), "", "").openapi()


DOCUMENTS = {"orchestrator": orchestrator, "worker": worker}


def text(document: dict[str, Any]) -> str:
    """A document as it is written."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, document in DOCUMENTS.items():
        (HERE / f"{name}.json").write_text(text(document()))
