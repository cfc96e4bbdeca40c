"""What is cut off a prompt is told, in the tokens of the encoder that reads most of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
from tasks import make_task
from transformer_models import MAKERS

from mysticanvas.contracts.worker import Finished, GenerateTask
from mysticanvas.workers.image import reading

Run = Callable[[GenerateTask], tuple[Any, Finished]]

LONG = "many words " * 400


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Tiny pipelines of diffusion transformers, each once."""
    made: dict[str, Any] = {}

    def pipeline(name: str) -> Any:
        if name not in made:
            folder = MAKERS[name](tmp_path_factory.mktemp(name))
            made[name] = diffusers.DiffusionPipeline.from_pretrained(folder)
        return made[name]

    return pipeline


def test_a_prompt_that_is_cut_off_is_told_with_the_pictures(run: Run, tiny_sd: Path) -> None:
    _, finished = run(make_task(tiny_sd, prompt=LONG))
    read, tokens = 75, len(LONG.replace(" ", ""))
    assert finished.notices == [
        f"Of the prompt, the first {read} of {tokens:,} tokens were read: this model takes no more."
    ]
    _, finished = run(make_task(tiny_sd, prompt="a red circle"))
    assert finished.notices == []


def test_a_negative_prompt_is_told_of_as_well(run: Run, tiny_sd: Path) -> None:
    _, finished = run(make_task(tiny_sd, prompt="x", negative_prompt=LONG))
    (told,) = finished.notices
    assert told.startswith("Of the negative prompt, the first 75 of ")


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_each_pipeline_reads_a_long_prompt_up_to_a_limit(
    pipeline: Callable[[str], Any], name: str
) -> None:
    loaded = pipeline(name)
    read = reading.of(loaded, LONG)
    assert 250 <= read.read <= 512 < read.tokens
    assert reading.of(loaded, "a red circle").read == reading.of(loaded, "a red circle").tokens


def test_without_its_t5_a_pipeline_reads_what_its_clips_do(pipeline: Callable[[str], Any]) -> None:
    loaded = pipeline("StableDiffusion3Pipeline")
    before = loaded.text_encoder_3
    loaded.text_encoder_3 = None
    assert reading.of(loaded, LONG).read == 75
    loaded.text_encoder_3 = before
