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


@pytest.mark.fault("a file whose name is not UTF-8 in a model", "ModelFileError names the file")
@pytest.mark.parametrize("place", ["model", "vae"])
def test_a_name_that_is_no_text_within_a_model_is_told(
    http: httpx.Client, tiny_sd: Path, tmp_path: Path, place: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_sd, model)
    shutil.copytree(tiny_sd / "vae", tmp_path / "vae")
    folder = model / "unet" if place == "model" else tmp_path / "vae"
    (folder / f"{BAD}.txt").write_text("a note")
    body = {"name": place, "model": str(model)}
    if place == "vae":
        body["vae"] = str(folder)
    assert http.put(f"/v1/presets/image/{place}", json=body).is_success
    asked = {"kind": "generate", "params": {"prompt": "x", "preset": place}}
    for route in ("/v1/plan", "/v1/jobs"):
        problem = http.post(route, json=asked).json()
        assert problem["code"] == "model_file_error", problem
        assert rf"{folder}/bad\udcff.txt" in problem["detail"]
