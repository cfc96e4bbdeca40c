"""Denoisers out of GGUF files: pictures, bytes and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import checkpoints
import numpy as np
import pytest
import torch
import transformer_models
from diffusers import QwenImageTransformer2DModel
from ggufs import write_tensors
from loras import make_lora
from safetensors.torch import save_file
from tasks import make_task, with_loras

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.tracing import Shape, TraceOrder
from mysticanvas.contracts.worker import GenerateTask, Made
from mysticanvas.errors import ModelFileError
from mysticanvas.vram import envelope
from mysticanvas.workers.engine import Control
from mysticanvas.workers.image import architectures, components, devices, loading, profiling
from mysticanvas.workers.image.engine import ImageEngine
from mysticanvas.workers.image.footprint import Footprint
from mysticanvas.workers.image.parts import Replaced
from mysticanvas.workers.image.reserve import Device, Player

MIB = 1 << 20
CPU = torch.device("cpu")
MAKERS: dict[str, Any] = {
    "flux": transformer_models.make_flux,
    "qwen": transformer_models.make_qwen_image,
    "sd3": transformer_models.make_sd3,
    "z": transformer_models.make_z_image,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("transformers")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def made(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name and type -> a GGUF file of the transformer in a folder."""
    root = tmp_path_factory.mktemp("ggufs")
    found = {}
    for name, folder in folders.items():
        tensors = tensors_of(name, folder)
        for kind in ("F16", "Q8_0"):
            found[f"{name} {kind}"] = write_tensors(root / f"{name}-{kind}.gguf", tensors, kind)
    return found


def tensors_of(name: str, folder: Path) -> dict[str, torch.Tensor]:
    """A transformer by the names that files have."""
    if name == "qwen":
        # Wide enough that the shares of its heads are as in the published model.
        torch.manual_seed(0)
        model: Any = QwenImageTransformer2DModel(
            num_layers=2, attention_head_dim=32, num_attention_heads=2,
            joint_attention_dim=transformer_models.TEXT_WIDTH, axes_dims_rope=(4, 14, 14),
        )  # fmt: skip
    else:
        model = loading.load(folder, CPU, torch.float32).transformer
    return checkpoints.sd3(model) if name == "sd3" else dict(model.state_dict())


def task_of(folder: Path, gguf: Path, alone: bool, **more: Any) -> GenerateTask:
    task = make_task(folder, scheduler="FlowMatchEulerDiscreteScheduler", **more)
    model = {"path": str(gguf), "vae": str(folder), "clip": (str(folder),)}
    if not alone:
        model = {"path": str(folder), "unet": str(gguf)}
    return task.model_copy(
        update={"model": task.model.model_copy(update={**model, "digest": f"{gguf}{alone}"})}
    )


def pixels(engine: ImageEngine, task: GenerateTask) -> str:
    messages: list[Any] = []
    engine.generate(task, messages.append, Control())
    [made] = [each for each in messages if isinstance(each, Made)]
    return made.pixels_sha256


@pytest.mark.parametrize(
    ("name", "kind"),
    [("flux", "F16"), ("flux", "Q8_0"), ("qwen", "Q8_0"), ("sd3", "Q8_0"), ("z", "Q8_0")],
)
def test_pictures_come_out_the_same_twice(
    engine: ImageEngine, folders: dict[str, Path], made: dict[str, Path], name: str, kind: str
) -> None:
    task = task_of(folders[name], made[f"{name} {kind}"], alone=False)
    first = pixels(engine, task)
    engine.unload()
    assert pixels(engine, task) == first
    whole = engine._loaded.model.pipeline  # type: ignore[union-attr]
    out = whole("a", num_inference_steps=1, width=64, height=64, output_type="np").images
    assert np.isfinite(out).all()


@pytest.mark.parametrize("name", ["flux F16", "sd3 F16"])
def test_the_numbers_are_those_that_were_written(
    folders: dict[str, Path], made: dict[str, Path], name: str
) -> None:
    folder = folders[name.partition(" ")[0]]
    loaded = loading.load(folder, CPU, torch.float32, Replaced(unet=made[name]))
    written = loading.load(folder, CPU, torch.float32).transformer.state_dict()
    found = loaded.transformer.state_dict()
    assert found.keys() == written.keys()
    for each, value in written.items():
        assert torch.allclose(found[each], value, atol=1e-3, rtol=1e-3), each


@pytest.mark.parametrize(
    ("name", "alone", "kind", "dtype"),
    [
        ("flux", True, "F16", "bfloat16"),
        ("flux", True, "Q8_0", "float32"),
        ("flux", False, "Q8_0", "bfloat16"),
        ("sd3", False, "Q8_0", "float32"),
    ],
)
def test_the_weights_are_those_of_the_loaded_model(
    folders: dict[str, Path], made: dict[str, Path], name: str, alone: bool, kind: str, dtype: Any
) -> None:
    files = task_of(folders[name], made[f"{name} {kind}"], alone).model
    pipeline = loading.load(Path(files.path), CPU, getattr(torch, dtype), Replaced.of(files))
    held = {part.name: round(part.mib * MIB) for part in devices.weights(pipeline)}
    found = components.of(files).weights(dtype)
    assert {f"weights.{component}": size for component, size in found.items()} == held


class Real(NamedTuple):
    """A `Tracee` with numbers."""

    model: Any

    def blank(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.ones(shape, dtype=dtype)


@pytest.mark.parametrize("kind", [None, "F16", "Q8_0"])
def test_what_is_made_whole_of_the_matrices_is_part_of_the_prediction(
    folders: dict[str, Path], made: dict[str, Path], kind: str | None
) -> None:
    folder = folders["flux"]
    unet = None if kind is None else str(made[f"flux {kind}"])
    order = TraceOrder(path=str(folder), unet=unet, dtype="float32", phases=("denoise",))
    [traced] = profiling.profile(order).profile.traced
    shape = Shape(batch=2, width=16, height=8, tokens=20)
    model = loading.load(folder, CPU, torch.float32, Replaced.of(order)).transformer
    footprint = Footprint("float32", [*model.parameters(), *model.buffers()], 1)
    with torch.inference_mode(), footprint:
        architectures.denoise(Real(model), shape)  # type: ignore[arg-type]
    footprint.close()
    assert envelope.peak(traced.envelope, shape).total == footprint.peak


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loras_go_onto_quantised_matrices(
    engine: ImageEngine, folders: dict[str, Path], made: dict[str, Path], tmp_path: Path, dtype: Any
) -> None:
    folder = folders["flux"]
    ink = make_lora(folder, tmp_path / "ink.safetensors", text=False)
    plain = task_of(folder, made["flux Q8_0"], alone=False)
    model = plain.model.model_copy(update={"dtype": dtype})
    plain = plain.model_copy(update={"model": model})
    before = pixels(engine, plain)
    drawn = with_loras(plain, {ink: 1.0})
    assert pixels(engine, drawn) != before
    [held] = [part.mib for part in engine.memory if part.name == "weights.loras"]
    order = TraceOrder(**drawn.model.model_dump(exclude={"kind", "digest"}))
    assert profiling.profile(order).profile.lora_bytes == round(held * MIB)
    assert pixels(engine, plain) == before


def test_a_lora_whose_matrices_are_taken_apart_counts_as_it_is_held(
    engine: ImageEngine, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Queries, keys and values together, as kohya's trainer has them for Flux."""
    start = "lora_unet_double_blocks_0_img_attn_qkv"
    tensors = {
        f"{start}.lora_down.weight": torch.ones(6, 64),
        f"{start}.lora_up.weight": torch.ones(192, 6),
        f"{start}.alpha": torch.tensor(3.0),
    }
    save_file(tensors, tmp_path / "fused.safetensors")
    task = make_task(folders["flux"], scheduler="FlowMatchEulerDiscreteScheduler")
    task = with_loras(task, {tmp_path / "fused.safetensors": 1.0})
    pixels(engine, task)
    [held] = [part.mib for part in engine.memory if part.name == "weights.loras"]
    order = TraceOrder(path=task.model.path, dtype="float32", loras=task.model.loras)
    # What all three share is there three times.
    assert profiling.profile(order).profile.lora_bytes == round(held * MIB)
    assert round(held * MIB) == 4 * (3 * 6 * 64 + 192 * 6)


def test_a_lora_that_widens_layers_is_refused_and_the_model_loaded_again(
    engine: ImageEngine, folders: dict[str, Path], tmp_path: Path
) -> None:
    """As Control LoRAs of Flux do, which want pictures to follow."""
    wide = tmp_path / "wide.safetensors"
    start = "transformer.x_embedder.lora"
    save_file(
        {f"{start}_A.weight": torch.ones(4, 128), f"{start}_B.weight": torch.ones(64, 4)}, wide
    )
    plain = make_task(folders["flux"], scheduler="FlowMatchEulerDiscreteScheduler")
    before = pixels(engine, plain)
    with pytest.raises(ModelFileError, match="changes the shapes of layers"):
        pixels(engine, with_loras(plain, {wide: 1.0}))
    assert engine.models == []
    assert pixels(engine, plain) == before


def test_the_cache_of_cuda_is_played_with_the_bytes_that_are_held(
    folders: dict[str, Path], made: dict[str, Path]
) -> None:
    work = ImageWork(width=64, height=64, guided=False, tokens=20)
    taken = {}
    for kind in (None, "Q8_0"):
        unet = None if kind is None else str(made[f"flux {kind}"])
        order = TraceOrder(path=str(folders["flux"]), unet=unet, dtype="float32", device="cuda")
        model = components.of(order)
        weights = model.weights("float32")
        player = Player(model, order, Device(0), weights)
        sizes = dict(player._weights())
        assert sum(sizes["transformer"]) == weights["transformer"]
        taken[kind] = player.usage(work).allocated - sum(weights.values())
    assert taken["Q8_0"] > taken[None]


def test_a_file_alone_needs_parts_beside_it(
    made: dict[str, Path], folders: dict[str, Path]
) -> None:
    with pytest.raises(ModelFileError, match="has no text_encoder") as caught:
        loading.load(made["flux Q8_0"], CPU, torch.float32)
    assert "clip=" in caught.value.hint
    pipeline = loading.load(
        made["flux Q8_0"],
        CPU,
        torch.float32,
        Replaced(vae=folders["flux"], clip=(folders["flux"],)),
    )
    assert type(pipeline).__name__ == "FluxPipeline"
    assert pipeline.scheduler.config.use_dynamic_shifting


def test_what_cannot_be_read_is_refused(
    made: dict[str, Path], folders: dict[str, Path], tiny_sd: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(made["flux Q8_0"].read_bytes()[:-100])
    odd = write_tensors(tmp_path / "odd.gguf", tensors_of("flux", folders["flux"]), "TQ2_0")
    of_vae = write_tensors(
        tmp_path / "vae.gguf", {"encoder.conv_in.weight": torch.ones(4, 4)}, "F16"
    )
    for replaced, base, what in (
        (Replaced(unet=cut), folders["flux"], "is not a sound GGUF file"),
        (Replaced(unet=odd), folders["flux"], "of the type tq2_0"),
        (Replaced(unet=of_vae), folders["flux"], "holds no FluxTransformer2DModel"),
        (Replaced(vae=of_vae), folders["flux"], "AutoencoderKL, which is not loaded from GGUF"),
        (Replaced(unet=made["flux F16"]), tiny_sd, "UNet2DConditionModel, which is not loaded"),
    ):  # fmt: skip
        with pytest.raises(ModelFileError, match=what):
            loading.load(base, CPU, torch.float32, replaced)
