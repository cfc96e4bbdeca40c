"""Stable Diffusion's real configurations against peaks that others measured on a GPU."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import REAL, order
from models import make_sd, make_sdxl
from transformer_models import MAKERS

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.mitigations import TILE_OVERLAP
from mysticanvas.contracts.tracing import ImageProfile, Shape
from mysticanvas.errors import ModelFileError
from mysticanvas.vram import envelope, image, tiling
from mysticanvas.vram.allocator import simulate
from mysticanvas.vram.image import Surroundings, predict
from mysticanvas.workers.image import architectures, components, profiling
from mysticanvas.workers.image.components import Part
from mysticanvas.workers.image.folder import read_config
from mysticanvas.workers.model_files import safetensors

MIB = 1 << 20
CUBLAS_MIB = 8
EXTERNAL = Path(__file__).parents[3] / "data" / "external"
FOLDERS = {"SD1.5": REAL / "sd15", "SDXL": REAL / "sdxl"}
RESERVED_BAR = {("SD1.5", 512): 0.08}
"""Where 5 % are not met: what was published is 6 % below SDXL, whose decoder is the same."""


def published(name: str) -> list[dict[str, str]]:
    lines = (EXTERNAL / name).read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@pytest.fixture(scope="module")
def profiles() -> dict[tuple[str, str], ImageProfile]:
    return {
        (model, dtype): profiling.profile(
            order("cuda", dtype, FOLDERS[model]).model_copy(
                update={"phases": ("denoise", "vae_encode", "vae_decode")}
            )
        ).profile
        for model, dtype in [("SD1.5", "float16"), ("SD1.5", "float32"), ("SDXL", "float16")]
    }


def peak_mib(profile: ImageProfile, phase: str, shape: Shape) -> float:
    [found] = [each.envelope for each in profile.traced if each.key.phase == phase]
    return envelope.peak(found, shape).total / MIB


def test_the_autoencoder_meets_what_was_measured_within_one_percent(profiles) -> None:
    compared = 0
    for row in published("published_vae_peaks.csv"):
        # The two decoders have one architecture; XL's is converted, which SD's is not.
        profile = profiles["SD1.5", row["dtype"]]
        side = int(row["side_px"]) // 8
        if "tiled" not in row["operation"]:
            found = peak_mib(profile, f"vae_{row['operation']}", Shape(width=side, height=side))
            assert found == pytest.approx(float(row["allocated_mb"]), rel=0.01), row
            compared += 1
    assert compared == 26


def test_decoding_in_tiles_meets_what_was_measured_within_one_percent(profiles) -> None:
    rows = [row for row in published("published_vae_peaks.csv") if "tiled" in row["operation"]]
    assert len(rows) == 6
    for row in rows:
        profile = profiles["SD1.5", "float16"]
        [found] = [each.envelope for each in profile.traced if each.key.phase == "vae_decode"]
        side = int(row["side_px"]) // 8
        way = tiling.Way(512 // 8, TILE_OVERLAP, sliced=False)
        need = tiling.need(found, Shape(width=side, height=side), way, 3 * 2 * 8 * 8, threads=1)
        assert need.total / MIB == pytest.approx(float(row["allocated_mb"]), rel=0.01), row


def test_the_unet_of_xl_meets_what_was_measured_within_one_percent(profiles) -> None:
    for row in published("published_unet_peaks.csv"):
        side = int(row["side_px"]) // 8
        shape = Shape(batch=2, width=side, height=side, tokens=77)
        found = peak_mib(profiles["SDXL", "float16"], "denoise", shape) + CUBLAS_MIB
        assert found == pytest.approx(float(row["allocated_mb"]), rel=0.01), row


def test_the_allocators_reserve_is_met_for_decoding_in_half_precision() -> None:
    config = read_config(REAL / "sd15" / "vae" / "config.json")
    tracee = architectures.build("diffusers", "AutoencoderKL", config, torch.float16)
    for row in published("published_vae_peaks.csv"):
        if (row["operation"], row["dtype"]) == ("decode", "float16"):
            side = int(row["side_px"]) // 8
            memory = profiling.trace(
                order("cuda", "float16"), tracee, Shape(width=side, height=side),
                architectures.decode_picture,
            )  # fmt: skip
            bar = RESERVED_BAR.get((row["model"], int(row["side_px"])), 0.05)
            reserved = simulate(memory.events).reserved / MIB
            assert reserved == pytest.approx(float(row["reserved_mb"]), rel=bar), row


def test_repeated_blocks_add_nothing_to_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config(REAL / "sdxl" / "unet" / "config.json")
    shape = Shape(batch=2, width=48, height=32, tokens=77)

    def live() -> int:
        tracee = architectures.build("diffusers", "UNet2DConditionModel", config, torch.float16)
        made = profiling.trace(order("cuda", "float16"), tracee, shape, architectures.denoise)
        return max(each.live + each.workspace for each in made.operations)

    shortened = live()
    monkeypatch.setattr(architectures, "_TWICE", 10)
    assert live() == shortened


@pytest.mark.parametrize("make", [make_sd, make_sdxl])
def test_a_profile_of_a_whole_folder_predicts_a_picture(make, tmp_path: Path) -> None:
    answer = profiling.profile(order("cpu", "float32", make(tmp_path)))
    profile = answer.profile
    assert set(profile.weights) >= {"unet", "vae", "text_encoder"}
    found = predict(profile, ImageWork(width=64, height=64, init_image=True), Surroundings())
    assert set(found.phases_mib) == {"text_encode", "denoise", "vae_encode", "vae_decode"}


@pytest.mark.parametrize("make", [make_sd, make_sdxl])
@pytest.mark.parametrize("tile_px", [None, 128])
def test_what_decoding_on_the_cpu_takes_is_told_by_the_trace_for_the_gpu(
    make, tile_px: int | None, tmp_path: Path
) -> None:
    """Beside one, a CPU decodes in float32; its own trace is what it takes."""
    folder = make(tmp_path)
    on_gpu = profiling.profile(order("cuda", "float16", folder)).profile
    on_cpu = profiling.profile(order("cpu", "float32", folder)).profile
    work = ImageWork(width=512, height=384, tile_px=tile_px)
    beside = work.model_copy(update={"decode_on_cpu": True})
    told = {term.name.removesuffix(", on the CPU"): term.mib for term in
            image.beside(on_gpu, beside, threads=1)}  # fmt: skip
    found = predict(on_cpu, work, Surroundings())
    assert told["weights.vae"] == pytest.approx(on_cpu.weights["vae"] / MIB)
    assert sum(told.values()) - told["weights.vae"] - told["safety"] == pytest.approx(
        found.phases_mib["vae_decode"], rel=0.2
    )


def test_what_is_known_is_not_traced_again(tmp_path: Path) -> None:
    wanted = order("cpu", "float32", make_sd(tmp_path))
    first = profiling.profile(wanted)
    known = frozenset(key.digest for key in first.keys)
    again = profiling.profile(wanted.model_copy(update={"known": known}))
    assert (again.keys, again.profile.traced) == (first.keys, ())


def test_a_text_encoder_that_is_called_in_another_way_has_another_key(tmp_path: Path) -> None:
    """The same T5 belongs to pipelines that ask it for different things."""
    keys = {}
    for name in ("StableDiffusion3Pipeline", "FluxPipeline"):
        wanted = order("cpu", "float32", MAKERS[name](tmp_path / name))
        model = components.of(wanted.model_copy(update={"phases": ()}))
        part = Part("text_encoder_2", "transformers", "T5EncoderModel", {})
        run = profiling._text_run(part, profiling.encoder_of(model, part))
        keys[name] = profiling._key(wanted, model, run)
    flux, sd3 = keys["FluxPipeline"], keys["StableDiffusion3Pipeline"]
    assert sd3.model_copy(update={"called": ""}) == flux
    assert sd3.digest != flux.digest


def test_an_autoencoder_that_overflows_counts_as_converted(tmp_path: Path) -> None:
    profile = profiling.profile(order("cuda", "float16", make_sdxl(tmp_path))).profile
    assert profile.decoding_weights == profile.weights["vae"]
    [key] = [each.key for each in profile.traced if each.key.phase == "vae_decode"]
    assert key.dtype == "float32"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model_index.json", "[]", "does not hold a JSON object"),
        ("model_index.json", "[" * 100_000, "cannot be read"),
        ("model_index.json", '{"_class_name": "Odd"}', "the pipeline 'Odd', which diffusers"),
        ("unet/config.json", " " * (5 << 20), "larger than a configuration"),
        ("unet/config.json", '{"block_out_channels": [4, 8]}', "cannot be made"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (make_sd(tmp_path) / name).write_text(content)
    with pytest.raises(ModelFileError, match=message):
        profiling.profile(order("cpu", "float32", tmp_path))


def test_what_an_autoencoder_takes_more_is_found_without_weighing_the_others_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    validate = safetensors.validate

    def look(path: Path) -> Any:
        looked.append(path.parent.name)
        return validate(path)

    wanted = order("cuda", "float16", make_sdxl(tmp_path)).model_copy(update={"phases": ()})
    monkeypatch.setattr(safetensors, "validate", look)
    assert profiling.profile(wanted).profile.decoding_weights > 0
    others = [name for name in looked if name != "vae"]
    assert len(others) == len(set(others))
