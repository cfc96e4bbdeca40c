"""The documents in `docs/openapi/` are what the processes answer, and say what they may answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Server

from mysticanvas import errors

DOCS = Path(__file__).parents[2] / "docs" / "openapi"
NAMES = ("orchestrator", "worker")


def stored(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DOCS / f"{name}.json").read_text())
    return document


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_the_document_is_current(http: httpx.Client, server: Server) -> None:
    told = http.get("/openapi.json").json()
    document = stored("orchestrator" if server.kind == "orchestrator" else "worker")
    if server.kind != "orchestrator":
        assert told["info"].pop("title") == f"MystiCanvas {server.kind} worker"
        del document["info"]["title"]
    assert told == document, "run `make openapi`"


@pytest.mark.parametrize("name", NAMES)
def test_every_code_and_its_status_are_documented_on_every_route(name: str) -> None:
    document = stored(name)
    answers = document["components"]["responses"]
    for code, error in errors.BY_CODE.items():
        assert f"`{code}`" in answers[str(error.status)]["description"]
    for operation in operations(document):
        assert answers.keys() <= operation["responses"].keys()
        assert operation["description"], operation["operationId"]


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_leads_somewhere(name: str) -> None:
    document = stored(name)

    def check(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(reference := part.get("$ref"), str):
                found = document
                for step in reference.removeprefix("#/").split("/"):
                    found = found[step]
            part = list(part.values())
        if isinstance(part, list):
            for child in part:
                check(child)

    check(document)


def test_the_codes_are_these() -> None:
    """They are stable: programs compare them. One may be added here, none may go or change."""
    assert {code: error.status for code, error in errors.BY_CODE.items()} == {
        "conflict": 409,
        "does_not_fit": 409,
        "hub_unavailable": 502,
        "internal_error": 500,
        "invalid_request": 422,
        "job_cancelled": 409,
        "model_file_error": 422,
        "not_found": 404,
        "orchestrator_unavailable": 503,
        "out_of_memory": 507,
        "permission_denied": 403,
        "preset_error": 422,
        "store_busy": 503,
        "store_damaged": 503,
        "store_error": 500,
        "store_full": 507,
        "store_locked": 503,
        "store_too_new": 503,
        "worker_crashed": 502,
    }
