from pathlib import Path

import pytest
import torch
from models import make_sd
from safetensors.torch import save_file

from mysticanvas.workers.image import loading, weights

PARTS = {"text_encoder": "transformers", "unet": "diffusers", "vae": "diffusers"}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_bytes_are_those_of_the_loaded_model(dtype, tmp_path: Path) -> None:
    make_sd(tmp_path)
    # Folders that the pipeline does not name are left alone, whatever is in them.
    (tmp_path / "safety_checker").mkdir()
    (tmp_path / "safety_checker" / "model.safetensors").write_bytes(b"cut off")
    pipeline = loading.load(tmp_path, torch.device("cpu"), getattr(torch, dtype))
    for name, size in weights.of_folder(tmp_path, PARTS, dtype).items():
        parameters = getattr(pipeline, name).parameters()
        assert size == sum(each.numel() * each.element_size() for each in parameters), name


def test_a_variant_counts_once_and_whole_numbers_keep_their_size(tmp_path: Path) -> None:
    part = tmp_path / "unet"
    part.mkdir()
    plain = "diffusion_pytorch_model.safetensors"
    for name in (plain, "diffusion_pytorch_model.fp16.safetensors"):
        tensors = {"w": torch.zeros(10), "ids": torch.zeros(3, dtype=torch.int64)}
        save_file(tensors, part / name)
    assert weights.of_folder(tmp_path, {"unet": "diffusers"}, "float16") == {"unet": 20 + 24}
    (part / plain).unlink()
    assert weights.of_folder(tmp_path, {"unet": "diffusers"}, "float16") == {"unet": 20 + 24}


def test_what_stays_in_float32_counts_as_such(tmp_path: Path) -> None:
    (tmp_path / "text_encoder_3").mkdir()
    file = tmp_path / "text_encoder_3" / "model.safetensors"
    save_file({"a.wo.weight": torch.zeros(4), "a.wi.weight": torch.zeros(4)}, file)
    assert weights.of_folder(
        tmp_path,
        {"text_encoder_3": "transformers"},
        "float16",
        kept={"text_encoder_3": ("wo",)},
    ) == {"text_encoder_3": 16 + 8}
