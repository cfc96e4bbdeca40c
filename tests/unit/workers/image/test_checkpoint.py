"""Single files give, without a network, the pipelines that they were written from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy
import pytest
import torch
import transformer_models
from safetensors.torch import load_file, save_file

from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import checkpoint, loading, stages
from mysticanvas.workers.image.parts import Replaced

CPU = torch.device("cpu")


class Written:
    """A pipeline, and the file that holds it."""

    def __init__(self, pipeline: Any, path: Path) -> None:
        self.pipeline = pipeline
        self.path = path


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Written:
    pipeline = checkpoints.make_sd()
    path = tmp_path_factory.mktemp("checkpoints") / "sd.safetensors"
    return Written(pipeline, checkpoints.write_sd(pipeline, path))


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Written:
    pipeline = checkpoints.make_sdxl()
    path = tmp_path_factory.mktemp("checkpoints") / "sdxl.safetensors"
    return Written(pipeline, checkpoints.write_sdxl(pipeline, path))


def picture(pipeline: Any) -> Any:
    """A picture of one step."""
    pipeline.set_progress_bar_config(disable=True)
    params = ResolvedParams(
        prompt="a red circle",
        width=64,
        height=64,
        num_inference_steps=1,
        guidance_scale=2.0,
        seed=1,
        scheduler="",
    )
    steps = stages.of(pipeline)
    generators = [torch.Generator().manual_seed(1)]
    with torch.inference_mode():
        sampled = steps.denoise(steps.encode(params), params, generators, lambda *_: None)
        [image] = steps.decode(sampled)
    return numpy.asarray(image).astype(int)


def assert_same_weights(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    theirs = other.state_dict()
    assert one.state_dict().keys() == theirs.keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_single_file_gives_the_pipeline_that_was_written(
    name: str, request: pytest.FixtureRequest
) -> None:
    written: Written = request.getfixturevalue(name)
    loaded = loading.load(written.path, CPU, torch.float32)
    assert type(loaded) is type(written.pipeline)
    for component, module in written.pipeline.components.items():
        if isinstance(module, torch.nn.Module):
            assert_same_weights(module, getattr(loaded, component))
    assert loaded.scheduler.config == written.pipeline.scheduler.config
    # Where numbers lie in memory decides how they are added up, and so a level of a pixel or two.
    assert abs(picture(loaded) - picture(written.pipeline)).max() <= 1


def test_the_number_format_reaches_every_part(sd: Written) -> None:
    loaded = loading.load(sd.path, CPU, torch.bfloat16)
    assert {part.dtype for part in (loaded.unet, loaded.vae, loaded.text_encoder)} == {
        torch.bfloat16
    }


def test_parts_come_from_other_files_and_folders(sd: Written, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = checkpoints.make_sd()
    for module in (other.unet, other.vae, other.text_encoder):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
    unet = checkpoints.write(checkpoints.unet(other.unet), tmp_path / "unet.safetensors")
    vae = checkpoints.write(other.vae.state_dict(), tmp_path / "vae.safetensors")
    clip = checkpoints.write(checkpoints.clip(other.text_encoder), tmp_path / "clip.safetensors")
    loaded = loading.load(sd.path, CPU, torch.float32, Replaced(unet, vae, (clip,)))
    for component in ("unet", "vae", "text_encoder"):
        assert_same_weights(getattr(other, component), getattr(loaded, component))
    other.save_pretrained(tmp_path / "folder")
    loaded = loading.load(tmp_path / "folder", CPU, torch.float32, Replaced(vae=sd.path))
    assert_same_weights(sd.pipeline.vae, loaded.vae)
    assert_same_weights(other.unet, loaded.unet)
    loaded = loading.load(
        sd.path, CPU, torch.float32, Replaced(tmp_path / "folder", clip=(tmp_path / "folder",))
    )
    assert_same_weights(other.unet, loaded.unet)
    assert_same_weights(other.text_encoder, loaded.text_encoder)
    assert_same_weights(sd.pipeline.vae, loaded.vae)


def test_a_transformer_alone_is_completed_by_parts(tmp_path: Path) -> None:
    folder = transformer_models.make_flux(tmp_path / "flux")
    written = transformer_models.flux_transformer()
    path = checkpoints.write(written.state_dict(), tmp_path / "flux.safetensors")
    with pytest.raises(ModelFileError, match="no text_encoder") as caught:
        loading.load(path, CPU, torch.float32)
    assert "clip=" in caught.value.hint
    loaded = loading.load(path, CPU, torch.float32, Replaced(vae=folder, clip=(folder,)))
    assert type(loaded).__name__ == "FluxPipeline"
    assert_same_weights(written, loaded.transformer)
    assert picture(loaded).shape == (64, 64, 3)


def test_an_sdxl_without_its_text_encoders_is_refused(sdxl: Written, tmp_path: Path) -> None:
    """Although diffusers calls them optional."""
    tensors = load_file(sdxl.path)
    bare = {name: value for name, value in tensors.items() if not name.startswith("conditioner.")}
    path = checkpoints.write(bare, tmp_path / "bare.safetensors")
    with pytest.raises(ModelFileError, match="no text_encoder"):
        loading.load(path, CPU, torch.float32)


def test_a_flux_of_the_authors_layout(tmp_path: Path) -> None:
    """At its published width, so the file is large, and does not stay."""
    folder = transformer_models.make_flux(tmp_path / "flux")
    written = checkpoints.flux()
    path = checkpoints.write(written, tmp_path / "flux.safetensors")
    try:
        loaded = loading.load(path, CPU, torch.bfloat16, Replaced(vae=folder, clip=(folder,)))
    finally:
        path.unlink()
    transformer = loaded.transformer
    assert (transformer.config.num_layers, transformer.config.num_single_layers) == (1, 1)
    assert transformer.config.guidance_embeds
    query, key, value = written["double_blocks.0.img_attn.qkv.bias"].chunk(3)
    attention = transformer.transformer_blocks[0].attn
    assert torch.equal(attention.to_q.bias, query)
    assert torch.equal(attention.to_k.bias, key)
    assert torch.equal(attention.to_v.bias, value)
    single = written["single_blocks.0.linear1.bias"]
    assert torch.equal(transformer.single_transformer_blocks[0].proj_mlp.bias, single[3 * 3072 :])


def test_a_text_encoder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = transformer_models.make_flux(tmp_path / "flux")
    path = checkpoints.write(
        transformer_models.flux_transformer().state_dict(), tmp_path / "flux.safetensors"
    )
    clips = (folder / "text_encoder", folder / "text_encoder_2")
    with pytest.raises(ModelFileError, match="tokenizer_2"):
        loading.load(path, CPU, torch.float32, Replaced(vae=folder, clip=clips))


Change = Callable[[dict[str, torch.Tensor]], object]
UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: [t.pop(name) for name in [*t] if name.startswith("first_stage")], "no vae"),
        (lambda t: t.pop(f"{UNET}out.2.weight"), "no tensor"),
        (lambda t: t.pop(f"{UNET}input_blocks.1.0.in_layers.2.bias"), "lacks|cannot be loaded"),
        (lambda t: t.pop("first_stage_model.decoder.conv_out.bias"), "lacks|cannot be loaded"),
        (
            lambda t: t.pop("cond_stage_model.transformer.text_model.final_layer_norm.bias"),
            "lacks|cannot be loaded",
        ),
        (
            lambda t: t.update({f"{UNET}input_blocks.1.0.in_layers.2.weight": torch.zeros(3)}),
            "cannot be loaded|impossible",
        ),
        (
            lambda t: t.update({f"{UNET}input_blocks.99999.0.op.weight": torch.zeros(1)}),
            "impossible shapes",
        ),
        (lambda t: t.clear(), "no architecture"),
    ],
)
def test_a_checkpoint_that_lacks_something_is_refused(
    sd: Written, tmp_path: Path, change: Change, what: str
) -> None:
    tensors = load_file(sd.path)
    change(tensors)
    save_file(tensors or {"x": torch.zeros(1)}, tmp_path / "bad.safetensors")
    with pytest.raises(ModelFileError, match=what):
        loading.load(tmp_path / "bad.safetensors", CPU, torch.float32)


def test_a_flux_of_a_width_that_diffusers_does_not_convert(tmp_path: Path) -> None:
    tensors = {
        "double_blocks.0.img_attn.norm.key_norm.scale": torch.zeros(32),
        "double_blocks.0.img_attn.proj.weight": torch.zeros(64, 64),
    }
    path = checkpoints.write(tensors, tmp_path / "flux.safetensors")
    with pytest.raises(ModelFileError, match="width 64"):
        loading.load(path, CPU, torch.float32)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pth", ".pkl"])
def test_a_pickle_is_refused_unread(tmp_path: Path, suffix: str, sd: Written) -> None:
    ran = tmp_path / "ran"
    path = tmp_path / f"model{suffix}"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(ran), "w"))

    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(ModelFileError, match="a pickle") as caught:
        loading.load(path, CPU, torch.float32)
    assert "safe_serialization" in caught.value.hint
    with pytest.raises(ModelFileError, match="a pickle"):
        loading.load(sd.path, CPU, torch.float32, Replaced(vae=path))
    assert not ran.exists()


def test_more_text_encoders_than_there_are(sd: Written) -> None:
    with pytest.raises(ModelFileError, match="1 text encoders, and clip names 2"):
        loading.load(sd.path, CPU, torch.float32, Replaced(clip=(sd.path, sd.path)))


def test_a_part_of_another_kind_is_refused(sd: Written, tmp_path: Path) -> None:
    clip = checkpoints.write(
        checkpoints.clip(sd.pipeline.text_encoder), tmp_path / "clip.safetensors"
    )
    with pytest.raises(ModelFileError, match="holds no AutoencoderKL"):
        loading.load(sd.path, CPU, torch.float32, Replaced(vae=clip))
    with pytest.raises(ModelFileError, match=r"no config\.json"):
        loading.load(sd.path, CPU, torch.float32, Replaced(vae=tmp_path))


def test_the_tokenizer_of_clip_has_the_known_numbers() -> None:
    """As published for openai/clip-vit-large-patch14."""
    tokenizer = checkpoint.clip_tokenizer("<|endoftext|>")
    ids = tokenizer("a photo of a cat").input_ids
    assert ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer.pad_token_id == 49407
    assert checkpoint.clip_tokenizer("!").pad_token_id == 0
    assert len(tokenizer) == 49408
