"""Files whose names are bytes that are no text, beside models: no answer can tell of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from servers import Server

BAD = os.fsdecode(b"bad\xff")


@pytest.fixture
def http(orchestrator: Server) -> Iterator[httpx.Client]:
    with orchestrator.client() as client:
        assert client.post("/v1/queue/pause").is_success
        yield client


@pytest.mark.fault("a model whose name is not UTF-8", "left out of the list and logged")
def test_one_name_that_is_no_text_hides_no_other_model(
    http: httpx.Client, tiny_sd: Path, tmp_path: Path
) -> None:
    loras = tmp_path / "loras"
    (loras / BAD).mkdir(parents=True)
    for file in (loras / "ink", loras / BAD, loras / BAD / "in"):
        file.with_name(f"{file.name}.safetensors").write_bytes(b"abc")
    shutil.copytree(tiny_sd, tmp_path / BAD)
    added = http.post("/v1/models/folders", json={"path": str(tmp_path)})
    assert [model["name"] for model in added.raise_for_status().json()] == ["ink"]
    listed = http.get("/v1/models", params={"kind": "lora"}).raise_for_status().json()
    assert "ink" in [model["name"] for model in listed]
