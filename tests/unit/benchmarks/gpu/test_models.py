import json

import pytest
import torch

from benchmarks.gpu import languages, models
from benchmarks.gpu.points import PIPELINES, PROMPT
from mysticanvas.orchestrator.arbiter import formats
from mysticanvas.workers.model_files import headers

PARAMETERS = {
    ("sd3", "transformer"): 2.03e9,
    ("z-image", "transformer"): 6.15e9,
    ("z-image", "text_encoder"): 4.02e9,
    ("qwen-image", "transformer"): 20.43e9,
    ("qwen-image", "text_encoder"): 8.29e9,
}
"""As they are published."""


@pytest.mark.parametrize("name", PIPELINES)
def test_models_are_known_by_the_class_that_runs_them_and_run_as_a_worker_has_them(name) -> None:
    index = json.loads((models._folder(name) / "model_index.json").read_text())
    assert index["_class_name"] == PIPELINES[name]
    assert models.DTYPES[name] == formats.running("auto", PIPELINES[name], "cuda")


@pytest.mark.parametrize(("name", "component"), PARAMETERS)
def test_shapes_are_real(name, component) -> None:
    part = next(each for each in models.components(name, tiny=False) if each.name == component)
    found = sum(each.numel() for each in part.build(torch.bfloat16).parameters())
    assert found == pytest.approx(PARAMETERS[name, component], rel=0.005)


def test_a_folder_has_all_that_a_file_would(tmp_path) -> None:
    folder = models.write_folder("sd3", tmp_path / "sd3", torch.bfloat16, tiny=True)
    held = headers.read(folder / "transformer" / "diffusion_pytorch_model.safetensors").shapes
    assert {"pos_embed.pos_embed", "pos_embed.proj.weight"} <= held.keys()
    encoder = headers.read(folder / "text_encoder_3" / "model.safetensors").shapes
    assert {"shared.weight", "encoder.embed_tokens.weight"} - encoder.keys() == {
        "encoder.embed_tokens.weight"
    }


def test_templates_of_qwen_are_as_many_tokens_as_its_pipelines_take_them_for() -> None:
    tokenizer = languages.qwen()
    letters = len(PROMPT)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPT}], tokenize=False, add_generation_prompt=True
    )
    assert chat == f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    assert len(tokenizer(chat).input_ids) == 8 + letters
    before, after = _template().split("{}")
    assert len(tokenizer(before).input_ids) == 34
    assert len(tokenizer(before + PROMPT + after).input_ids) == 34 + letters + 5


def _template() -> str:
    made = models.pipeline("qwen-image", torch.device("cpu"), torch.float32, tiny=True)
    assert made.prompt_template_encode_start_idx == 34
    template: str = made.prompt_template_encode
    return template
