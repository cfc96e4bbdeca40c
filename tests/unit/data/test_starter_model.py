"""The starter model as it is shipped: small, safe, loadable, and as good as its card says."""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def folder(starter: Path) -> Path:
    return starter / "model"


@pytest.fixture(scope="module")
def figures(starter: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((starter / "evaluation.json").read_text())
    return found


def test_the_folder_is_at_most_25_megabytes(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 25e6


def test_at_most_three_revisions_of_the_weights_were_ever_committed(folder: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        if git("rev-parse", "--is-shallow-repository").strip() != "false":
            pytest.skip("the history is cut off")
        commits = git("log", "--format=%h %s", "--", ":(glob)**/*.safetensors").splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no history")
    if not commits:
        pytest.skip("it is not of this repository")
    assert len(commits) <= 3, commits


def test_the_card_says_how_many_parameters_it_has(starter: Path, folder: Path) -> None:
    shapes = []
    for path in folder.rglob("*.safetensors"):
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        shapes += [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    said = re.search(r"about ([\d.]+) million parameters", (starter / "README.md").read_text())
    assert said is not None
    assert float(said[1]) == round(sum(map(math.prod, shapes)) / 1e6, 1)


def test_weights_are_safetensors_only(folder: Path) -> None:
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".txt"}


def test_the_figures_are_of_these_files(folder: Path, figures: dict[str, Any]) -> None:
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert figures["files"] == found


@pytest.mark.parametrize(("name", "bar"), [("one thing", 0.9), ("two things", 0.7), ("style", 0.9)])
def test_the_card_says_what_was_measured_beside_the_bar(
    starter: Path, figures: dict[str, Any], name: str, bar: float
) -> None:
    figure = figures[name.split()[0]]
    row = re.search(rf"^\| {name}.*$", (starter / "README.md").read_text(), re.MULTILINE)
    assert row is not None
    said_bar, said, count = (float(cell) for cell in row[0].split("|")[2:5])
    assert said_bar == bar == figures["bars"][name.split()[0]]
    assert said == pytest.approx(figure["right"], abs=0.0005)
    assert count == figure["n"]


def test_every_known_word_is_one_that_a_caption_uses(folder: Path) -> None:
    import phrases

    known = json.loads((folder / "world.json").read_text())
    assert known["words"] == phrases.words()
    assert known["draws"].endswith(".")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    diffusers = pytest.importorskip("diffusers")
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_it_draws_128_pixels_square_by_default(pipeline: Any) -> None:
    picture = pipeline("a red circle", num_inference_steps=2).images[0]
    assert picture.size == (128, 128)


def test_it_draws_other_sizes(pipeline: Any) -> None:
    picture = pipeline("a red circle", width=104, height=160, num_inference_steps=2).images[0]
    assert picture.size == (104, 160)


def test_any_prompt_can_be_read(pipeline: Any) -> None:
    for prompt in ("", "überraschung 🐈 日本", "red " * 200):
        ids = pipeline.tokenizer(prompt, truncation=True, max_length=40).input_ids
        assert len(ids) <= 40
