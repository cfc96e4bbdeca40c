"""What schemathesis makes of the documents: no answer that they do not name, no 500, no hang.

A few cases a route in every run; `make fuzz` tries more, FUZZ=1000 for a thousand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from servers import Server
from worker_process import TOKEN, Worker

from mysticanvas.web.connections import LIMITS

DOCS = Path(__file__).parents[2] / "docs" / "openapi"
EXAMPLES = int(os.environ.get("FUZZ", "3"))
ANSWER_S = 30
"""Nothing that is asked here takes longer, on the busiest of machines."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LEFT_OUT = ["/v1/shutdown", "/v1/queue/resume"]
"""They would end what is tried, or have it compute what was made up."""

fuzzing = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 10,
    database=None,
    # Not the explicit phase: its examples have URLs of a megabyte, which no HTTP server reads.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def document(name: str) -> Any:
    """The stored document; what it leaves out here is tested by name."""
    schema = schemathesis.openapi.from_dict(json.loads((DOCS / f"{name}.json").read_text()))
    for path in LEFT_OUT:
        schema = schema.exclude(path=path)
    return schema


def try_out(case: Any, http: httpx.Client, folder: Path) -> None:
    """Send a case; nothing of it may be written outside of `folder`."""
    if case.path == "/v1/backups" and isinstance(case.body, dict):
        path = case.body.get("path")
        if isinstance(path, str) and path.startswith("/"):
            case.body["path"] = f"{folder}/{path}"
    try:
        response = case.call(
            base_url=str(http.base_url),
            headers={"Authorization": http.headers["Authorization"]},
            timeout=ANSWER_S,
        )
    except requests.ConnectionError as error:
        # What is beyond the limit is closed without a word.
        if head_bytes(error.request) > LIMITS.head_bytes:
            return
        raise
    case.validate_response(response, checks=CHECKS)


def head_bytes(request: Any) -> int:
    """Bytes of the line and the headers of a request, at least."""
    return len(request.url) + sum(len(name) + len(value) for name, value in request.headers.items())


@pytest.fixture(scope="module")
def paused(orchestrator: Server) -> Iterator[httpx.Client]:
    """The orchestrator, with a queue that only fills."""
    with orchestrator.client() as client:
        assert client.post("/v1/queue/pause").json()["paused"]
        yield client
        assert client.get("/internal/health").status_code == 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("written")


@document("orchestrator").parametrize()
@fuzzing
def test_the_orchestrator_keeps_its_word(case: Any, paused: httpx.Client, folder: Path) -> None:
    try_out(case, paused, folder)


@pytest.mark.parametrize("engine", ["echo", "llm", "image"])
@document("worker").parametrize()
@fuzzing
def test_a_worker_keeps_its_word(
    case: Any, engine: str, worker_of: Callable[[str], Worker], folder: Path
) -> None:
    worker = worker_of(engine)
    worker.wait_imported()
    assert worker.http.headers["Authorization"] == f"Bearer {TOKEN}"
    try_out(case, worker.http, folder)
