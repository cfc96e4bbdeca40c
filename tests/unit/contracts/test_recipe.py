import ast
from typing import Any

import pytest

from mysticanvas import InvalidRequest
from mysticanvas.contracts.recipe import Environment, Recipe, ResolvedParams, request_hash

PARAMS = ResolvedParams(
    prompt="a red circle",
    width=128,
    height=128,
    num_inference_steps=20,
    guidance_scale=3.0,
    seed=7,
    num_images=2,
    scheduler="DDIMScheduler",
)
FILES = {"unet/model.safetensors": "a" * 64, "model_index.json": "b" * 64}
RECIPE = Recipe(
    preset="starter", pipeline="StableDiffusionPipeline", params=PARAMS, model_files=FILES
)
ENVIRONMENT = Environment(device="cpu", dtype="float32", threads=2, versions={"torch": "2.13.0"})


def test_the_request_hash_is_stable_across_releases() -> None:
    assert RECIPE.request_hash.startswith("eaacdfa36be8b58d")


def test_what_the_user_asked_for_changes_the_request_hash() -> None:
    seen = {RECIPE.request_hash}
    for change in (
        {"prompt": "b"},
        {"seed": 8},
        {"num_images": 1},
        {"width": 64},
        {"scheduler_config": {"use_karras_sigmas": True}},
        {"negative_prompt": "n"},
    ):
        seen.add(request_hash(PARAMS.model_copy(update=change), FILES))
    seen.add(request_hash(PARAMS, {**FILES, "model_index.json": "c" * 64}))
    assert len(seen) == 8


def test_the_preset_is_a_label_and_changes_no_hash() -> None:
    other = RECIPE.model_copy(update={"preset": "another"})
    assert Recipe.model_validate(other.model_dump()).hash == RECIPE.hash


@pytest.mark.parametrize(
    "change",
    [{"environment": ENVIRONMENT}, {"batch_index": 1}, {"mitigations": ("vae_tiling:512",)}],
)
def test_the_run_changes_the_hash_but_not_the_request_hash(change: dict[str, object]) -> None:
    ran = Recipe.model_validate({**RECIPE.model_dump(), **change})
    assert ran.request_hash == RECIPE.request_hash
    assert ran.hash != RECIPE.hash


def test_a_recipe_of_before_attention_was_recorded_has_the_hash_that_it_had() -> None:
    stored = {**RECIPE.model_dump(mode="json"), "environment": ENVIRONMENT.model_dump(mode="json")}
    del stored["environment"]["attention"]
    before = Recipe.model_validate(stored)
    assert before.environment == ENVIRONMENT
    assert before.hash.startswith("641984a757dc78b8")
    stored["environment"]["attention"] = "cudnn"
    assert Recipe.model_validate(stored).hash != before.hash


def test_each_picture_of_a_batch_has_its_own_seed() -> None:
    assert Recipe.model_validate({**RECIPE.model_dump(), "batch_index": 1}).seed == 8


def test_the_code_of_a_quantised_model_loads_its_file() -> None:
    files = {"unet.gguf": "a" * 64, "model_index.json": "b" * 64}
    change = {"model_files": files, "pipeline": "FluxPipeline", "environment": ENVIRONMENT}
    code = RECIPE.model_copy(update=change).to_code("diffusers")
    compile(code, "theirs", "exec")
    assert "FluxTransformer2DModel.from_single_file(" in code
    assert "from_pretrained(MODEL, dtype=torch.float32, transformer=transformer)" in code


def test_the_code_weighs_loras_and_a_label_decides_nothing() -> None:
    loras = {
        "params": PARAMS.model_copy(update={"loras": {"lora_1": 0.5, "lora_2": -1.0}}),
        "model_files": {**FILES, "lora_1.safetensors": "c" * 64, "lora_2.safetensors": "d" * 64},
        "loras": {"ink": "lora_2", "~/chalk.safetensors": "lora_1", "gone": ""},
    }
    recipe = Recipe.model_validate({**RECIPE.model_dump(), **loras})
    ours, theirs = recipe.to_code(), recipe.to_code("diffusers")
    compile(theirs, "theirs", "exec")
    assert "loras={'ink': -1.0, '~/chalk.safetensors': 0.5, 'gone': 0.0}," in ours
    assert "load_lora_weights('~/chalk.safetensors', adapter_name='lora_1'" in theirs
    assert "set_adapters(['lora_1', 'lora_2'], [0.5, -1.0])" in theirs
    renamed = recipe.model_copy(update={"loras": {"x": "lora_1", "y": "lora_2"}})
    assert Recipe.model_validate(renamed.model_dump()).hash == recipe.hash
    assert recipe.request_hash != RECIPE.request_hash


def test_the_code_is_python_and_names_what_differs_from_the_default() -> None:
    recipe = Recipe.model_validate({**RECIPE.model_dump(), "batch_index": 1})
    ours, theirs = recipe.to_code(), recipe.to_code("diffusers")
    compile(ours, "ours", "exec")
    compile(theirs, "theirs", "exec")
    assert "seed=7," in ours
    assert ours.rstrip().endswith("[1]")
    assert "negative_prompt=''," in ours
    assert "num_images=2," in ours
    assert "scheduler_config" not in ours
    assert "StableDiffusionPipeline.from_pretrained(MODEL" in theirs


def test_the_code_says_where_the_path_of_its_model_is_found() -> None:
    [line] = [
        each for each in RECIPE.to_code("diffusers").splitlines() if each.startswith("MODEL = ")
    ]
    assert line.endswith(f"# canvas.presets.image[{RECIPE.preset!r}].model names it")


def test_the_code_of_a_picture_from_a_gpu_runs_there() -> None:
    gpu = ENVIRONMENT.model_copy(update={"device": "cuda:NVIDIA A100", "dtype": "float16"})
    code = RECIPE.model_copy(update={"environment": gpu}).to_code("diffusers")
    assert "from_pretrained(MODEL, dtype=torch.float16).to('cuda')" in code
    cpu = RECIPE.model_copy(update={"environment": ENVIRONMENT}).to_code("diffusers")
    assert ".to(" not in cpu


def test_the_code_says_which_parts_came_from_elsewhere() -> None:
    parts = {
        "clip_1.safetensors": "c" * 64,
        "clip_2/text_encoder_2/model.safetensors": "d" * 64,
        "vae/vae/diffusion_pytorch_model.safetensors": "e" * 64,
        "unet.safetensors": "f" * 64,
    }
    code = RECIPE.model_copy(update={"model_files": {**FILES, **parts}}).to_code("diffusers")
    compile(code, "theirs", "exec")
    assert "came from elsewhere" not in RECIPE.to_code("diffusers")
    for part, digest in (
        ("text encoder 1", "c"),
        ("text encoder 2", "d"),
        ("vae", "e"),
        ("unet", "f"),
    ):
        assert f"# Its {part} came from elsewhere" in code
        assert digest * 64 in code


def test_the_code_leaves_an_empty_negative_prompt_out_unless_that_would_be_another_picture() -> (
    None
):
    assert "negative_prompt" not in RECIPE.to_code("diffusers")
    params = PARAMS.model_copy(update={"negative_prompt": "blurry"})
    given = RECIPE.model_copy(update={"params": params}).to_code("diffusers")
    assert "    negative_prompt='blurry',\n" in given
    qwen = RECIPE.model_copy(update={"pipeline": "QwenImagePipeline"}).to_code("diffusers")
    assert "    negative_prompt='',\n" in qwen


HOSTILE = """x");import os\nimport os;"'\r\\\0\N{HORIZONTAL ELLIPSIS}.safetensors"""


def with_texts(text: str, **changes: Any) -> Recipe:
    """A recipe that says this wherever it may say anything."""
    given = {
        "prompt": text,
        "negative_prompt": text,
        "scheduler_config": {"beta_schedule": text},
        "loras": {text: 0.5},
    }
    files = [text, f"clip_{text}.safetensors", "unet/unet/" + text, f"vae/vae/{text}.safetensors"]
    return RECIPE.model_copy(
        update={
            "preset": text,
            "params": PARAMS.model_copy(update=given),
            "model_files": dict.fromkeys(files, text),
            "loras": {text: text},
            "mitigations": (text, f"vae_tiling:{text}"),
            "environment": ENVIRONMENT.model_copy(update={"device": text, "attention": text}),
            **changes,
        }
    )


def structure(code: str) -> str:
    """The code without its texts."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


@pytest.mark.parametrize("target", ["mysticanvas", "diffusers"])
def test_what_a_picture_of_anybody_says_is_text_in_the_code_and_no_code(target: Any) -> None:
    plain, hostile = (with_texts(text).to_code(target) for text in ("x", HOSTILE))
    assert structure(hostile) == structure(plain)
    texts = {node.value for node in ast.walk(ast.parse(hostile)) if isinstance(node, ast.Constant)}
    assert HOSTILE in texts


@pytest.mark.parametrize("name", [HOSTILE, "import", "a.b", "", "f(x)"])
def test_a_name_that_is_none_makes_no_code(name: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "pipeline": {"pipeline": name},
        "params.scheduler": {"params": PARAMS.model_copy(update={"scheduler": name})},
        "params.scheduler_config": {
            "params": PARAMS.model_copy(update={"scheduler_config": {name: 1}})
        },
        "environment.dtype": {"environment": ENVIRONMENT.model_copy(update={"dtype": name})},
    }
    for parameter, change in changes.items():
        with pytest.raises(InvalidRequest) as refused:
            RECIPE.model_copy(update=change).to_code("diffusers")
        assert refused.value.parameter == f"recipe.{parameter}"


@pytest.mark.parametrize("bad", ["foo", None, ["diffusers"]])
def test_code_for_what_we_do_not_know_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidRequest, match="'mysticanvas' or 'diffusers'") as refused:
        RECIPE.to_code(bad)
    assert refused.value.parameter == "target"
