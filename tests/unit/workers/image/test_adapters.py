"""LoRAs on a pipeline: what they do to pictures and memory, and that nothing stays of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loras import make_lora
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from tasks import make_task, with_loras

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.tracing import ProfileOrder, TraceOrder
from mysticanvas.contracts.worker import Finished, GenerateTask, Made
from mysticanvas.errors import ModelFileError
from mysticanvas.vram import image
from mysticanvas.vram.image import Surroundings
from mysticanvas.workers.engine import Control, Options
from mysticanvas.workers.image import adapters, adapting, architectures, lora_files, profiling
from mysticanvas.workers.image.engine import ImageEngine
from mysticanvas.workers.image.job_kinds import Known

MIB = 1 << 20
Run = Callable[[GenerateTask], tuple[list[Any], Finished]]


@pytest.fixture(scope="session")
def ink(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    return make_lora(tiny_sd, folder / "ink.safetensors", convolutions=True, alpha=2, seed=1)


@pytest.fixture(scope="session")
def chalk(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loras") / "chalk.safetensors"
    return make_lora(tiny_sd, path, layout="kohya", rank=8, alpha=4, seed=2)


def pixels(messages: list[Any]) -> str:
    [made] = [each for each in messages if isinstance(each, Made)]
    return made.pixels_sha256


def fresh(home: Path, task: GenerateTask) -> str:
    """What an engine makes of it that did nothing else before."""
    messages: list[Any] = []
    engine = ImageEngine(Options(images=home / "images", device="cpu", threads=1))
    engine.generate(task, messages.append, Control())
    return pixels(messages)


def weights_of(engine: ImageEngine) -> dict[str, int]:
    return {
        part.name.removeprefix("weights."): round(part.mib * MIB)
        for part in engine.memory
        if part.name.startswith("weights.")
    }


def test_pictures_are_those_of_a_fresh_process_whatever_ran_before(
    engine: ImageEngine, home: Path, run: Run, tiny_sd: Path, ink: Path, chalk: Path
) -> None:
    plain = make_task(tiny_sd)
    jobs = {
        "ink": with_loras(plain, {ink: 0.8}),
        "both": with_loras(plain, {ink: 0.5, chalk: 1.0}),
        "chalk": with_loras(plain, {chalk: -0.7}),
        "none": plain,
    }
    expected = {name: fresh(home, task) for name, task in jobs.items()}
    assert len(set(expected.values())) == 4
    run(plain)
    model = engine._loaded.model  # type: ignore[union-attr]
    for name in ("ink", "both", "ink", "none", "chalk", "both", "none"):
        messages, _ = run(jobs[name])
        [environment] = [each.recipe.environment for each in messages if isinstance(each, Made)]
        assert ("peft" in environment.versions) is (name != "none")
        assert pixels(messages) == expected[name], name
        assert engine._loaded.model is model  # type: ignore[union-attr]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_file_that_is_not_what_its_digest_says_is_not_put_on(
    engine: ImageEngine,
    run: Run,
    tiny_sd: Path,
    ink: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    path = Path(shutil.copy(ink, tmp_path))
    other = make_lora(tiny_sd, tmp_path / "other.safetensors", seed=3)
    task = with_loras(make_task(tiny_sd), {path: 0.8})
    check = lora_files.check_config

    def changing(*args: Any) -> None:
        check(*args)
        shutil.copy(other, path)

    if when == "before":
        shutil.copy(other, path)
    else:
        monkeypatch.setattr(lora_files, "check_config", changing)
    with pytest.raises(ModelFileError, match=r"ink\.safetensors was replaced"):
        run(task)
    assert engine._loaded is not None
    assert engine._loaded.adapters.parts == []
    assert not engine._loaded.adapters.has(adapters.wanted(task))


@pytest.mark.filterwarnings("ignore:Already found")
def test_the_code_for_diffusers_makes_the_same_picture(
    run: Run, tiny_sd: Path, ink: Path, chalk: Path
) -> None:
    task = with_loras(make_task(tiny_sd, prompt="a red circle"), {ink: 0.5, chalk: 1.0})
    messages, _ = run(task)
    code = task.recipe.to_code("diffusers").replace("path/to/tiny", str(tiny_sd))
    torch.set_num_threads(1)
    made: dict[str, Any] = {}
    exec(code, made)
    [by_us] = [each for each in messages if isinstance(each, Made)]
    from mysticanvas.contracts import picture

    shown = made["image"]
    digest = picture.pixels_sha256(shown.mode, *shown.size, shown.tobytes())
    assert digest == by_us.pixels_sha256


def test_the_format_of_the_file_is_not_that_of_the_computation(
    run: Run, tiny_sd: Path, ink: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half.safetensors"
    save_file({name: value.bfloat16() for name, value in load_file(ink).items()}, half)
    whole = tmp_path / "whole.safetensors"
    save_file({name: value.float() for name, value in load_file(half).items()}, whole)
    first, second = (run(with_loras(make_task(tiny_sd), {each: 0.5}))[0] for each in (half, whole))
    assert pixels(first) == pixels(second)


@pytest.mark.parametrize(
    ("name", "layout", "dtype"),
    [("sd", "diffusers", "float32"), ("sdxl", "kohya", "float32"), ("sdxl", "kohya", "bfloat16")],
)
def test_what_they_take_is_told_by_their_headers(
    engine: ImageEngine, run: Run, tiny_sd: Path, tiny_sdxl: Path, tmp_path: Path,
    name: str, layout: Any, dtype: Any,
) -> None:  # fmt: skip
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
    first = make_lora(folder, tmp_path / "a.safetensors", layout=layout, seed=3)
    second = make_lora(folder, tmp_path / "b.safetensors", layout=layout, text=False, rank=2)
    task = with_loras(make_task(folder), {first: 1.0, second: 0.5})
    model = task.model.model_copy(update={"dtype": dtype})
    run(task.model_copy(update={"model": model}))
    held = weights_of(engine)
    order = ProfileOrder(path=str(folder), dtype=dtype, loras=model.loras)
    profile = engine.profile(order).profile
    assert held.pop("loras") == profile.lora_bytes > 0
    assert held == profile.weights
    run(make_task(folder).model_copy(update={"model": model.model_copy(update={"loras": ()})}))
    assert "loras" not in weights_of(engine)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_what_they_add_to_a_phase_is_predicted_to_the_byte(
    engine: ImageEngine, run: Run, tiny_sd: Path, tiny_sdxl: Path, tmp_path: Path, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(engine, "_measured", Known())
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
    first = make_lora(folder, tmp_path / "a.safetensors", rank=16, convolutions=True)
    second = make_lora(folder, tmp_path / "b.safetensors", layout="kohya", rank=8, text=False)
    plain = make_task(folder, width=256, height=192)
    work = ImageWork(width=256, height=192)
    predicted, measured = [], []
    for task in (plain, with_loras(plain, {first: 1.0, second: 0.5})):
        _, finished = run(task)
        measured.append({use.phase: use.bytes for use in finished.phases})
        order = TraceOrder(path=str(folder), dtype="float32", loras=task.model.loras)
        found = image.predict(profiling.profile(order).profile, work, Surroundings(threads=1))
        predicted.append({phase: round(mib * MIB) for phase, mib in found.phases_mib.items()})
    assert _more(measured) == _more(predicted)
    # With AVX-512, the largest moment is a convolution's, of whose memory it is a smaller part.
    assert _more(measured)["denoise"] > 0.05 * measured[0]["denoise"]


def _more(both: list[Any]) -> dict[str, int]:
    without, having = both
    return {phase: having[phase] - size for phase, size in without.items()}


def test_the_cache_of_cuda_is_played_with_them(tiny_sd: Path, ink: Path, engine: Any) -> None:
    order = TraceOrder(path=str(tiny_sd), dtype="float16", device="cuda", loras=(str(ink),))
    without = order.model_copy(update={"loras": ()})
    [more], [less] = (
        engine._with_reserve(each, (ImageWork(width=1024, height=1024),)).reserved
        for each in (order, without)
    )
    assert more > less


def refused(engine: ImageEngine, task: GenerateTask) -> str:
    with pytest.raises(ModelFileError) as caught:
        engine.generate(task, lambda _: None, Control())
    return str(caught.value)


def test_one_that_does_not_suit_is_refused_and_the_model_goes_on(
    engine: ImageEngine, run: Run, tiny_sd: Path, tiny_sdxl: Path, ink: Path, tmp_path: Path
) -> None:
    plain = make_task(tiny_sd)
    expected, with_ink = (pixels(run(task)[0]) for task in (plain, with_loras(plain, {ink: 0.8})))
    model = engine._loaded.model  # type: ignore[union-attr]
    tensors = load_file(ink)
    of_another = make_lora(tiny_sdxl, tmp_path / "xl.safetensors", layout="kohya")
    wrong_shape, wrong_key = tmp_path / "shape.safetensors", tmp_path / "key.safetensors"
    save_file({name: torch.cat([value, value], -1) for name, value in tensors.items()}, wrong_shape)
    down, up = torch.ones(4, 8), torch.ones(8, 4)
    nowhere = {"unet.nowhere.lora_A.weight": down, "unet.nowhere.lora_B.weight": up}
    save_file({**tensors, **nowhere}, wrong_key)
    for bad in (of_another, wrong_shape, wrong_key):
        for loras in ({bad: 1.0}, {ink: 0.8, bad: 1.0}):
            said = refused(engine, with_loras(plain, loras))
            assert "does not suit this StableDiffusionPipeline" in said
            assert str(bad) in said
        assert pixels(run(plain)[0]) == expected
        assert pixels(run(with_loras(plain, {ink: 0.8}))[0]) == with_ink
    assert engine._loaded.model is model  # type: ignore[union-attr]


def changed(source: Path, path: Path, **more: Any) -> Path:
    """A copy with further tensors, or with another configuration."""
    metadata = None
    if "config" in more:
        metadata = {"lora_adapter_metadata": json.dumps(more.pop("config"))}
    save_file({**load_file(source), **more}, path, metadata=metadata)
    return path


def test_hostile_files_are_refused(
    engine: ImageEngine, tiny_sd: Path, ink: Path, chalk: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(ink.read_bytes()[:-10])
    pickled = tmp_path / "ink.ckpt"
    pickled.write_bytes(b"\x80\x04K\x01.")
    alpha = next(name for name in load_file(chalk) if name.endswith(".alpha"))
    many = {
        "damaged or cut off": cut,
        "a pickle": pickled,
        f"{alpha} is -1.0": changed(
            chalk, tmp_path / "a.safetensors", **{alpha: torch.tensor(-1.0)}
        ),
        "is a DoRA": changed(chalk, tmp_path / "b.safetensors", **{"x.dora_scale": torch.ones(1)}),
        "wants r = 1000000000": changed(ink, tmp_path / "c.safetensors", config={"unet.r": 10**9}),
        "wants init_lora_weights": changed(
            ink, tmp_path / "d.safetensors", config={"unet.init_lora_weights": "pissa"}
        ),
        "wants modules_to_save": changed(
            ink, tmp_path / "e.safetensors", config={"unet.modules_to_save": ["conv_out"]}
        ),
        "wants target_modules": changed(
            ink, tmp_path / "f.safetensors", config={"unet.target_modules": "(a+)+b"}
        ),
        "its configuration is no JSON": changed(ink, tmp_path / "g.safetensors", config=[]),
    }  # fmt: skip
    for what, path in many.items():
        assert what in refused(engine, with_loras(make_task(tiny_sd), {path: 1.0}))


def test_a_pipeline_that_takes_none_says_so(ink: Path) -> None:
    with pytest.raises(ModelFileError, match="applies no LoRAs to a LDMTextToImagePipeline"):
        lora_files.read(ink, "LDMTextToImagePipeline")


def test_a_trace_has_them_on_the_modules_that_they_name_and_on_those_that_stand_for_them() -> None:
    config = {"num_layers": 4, "num_single_layers": 4, "num_attention_heads": 2}
    tracee = architectures.build("diffusers", "FluxTransformer2DModel", config, torch.float32)
    ranks = {
        "proj_out": 4,
        "transformer_blocks.3.attn.to_q": 8,
        "transformer_blocks.0.attn.to_q": 2,
    }
    made = adapting.adapted(tracee, [ranks, {"proj_out": 2}]).model
    changed = {n: m.r for n, m in made.named_modules() if isinstance(m, BaseTunerLayer)}
    assert changed == {
        "proj_out": {"0": 4, "1": 2},
        "transformer_blocks.0.attn.to_q": {"0": 8},
        "transformer_blocks.1.attn.to_q": {"0": 8},
    }
