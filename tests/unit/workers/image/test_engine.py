import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tasks import hashed, make_task

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.tracing import ProfileOrder, TraceOrder
from mysticanvas.contracts.worker import Finished, GenerateTask, Made, ModelRef
from mysticanvas.errors import InvalidRequest, JobCancelled, ModelFileError, OutOfMemory
from mysticanvas.workers.engine import Control, Options
from mysticanvas.workers.image import components, devices, job, loading
from mysticanvas.workers.image.engine import ImageEngine


def ref(folder: Path, **more: str) -> ModelRef:
    return ModelRef(path=str(folder), digest=f"digest of {folder}", **more)  # type: ignore[arg-type]


def test_loading_says_what_and_where(engine: ImageEngine, tiny_sd: Path) -> None:
    engine.unload()
    loaded = engine.load(ref(tiny_sd))
    assert (loaded.device, loaded.dtype) == ("cpu", "float32")
    assert loaded.digest == f"digest of {tiny_sd}"
    assert loaded.seconds > 0
    assert engine.models == [loaded.digest]


def test_a_model_that_is_loaded_is_kept(engine: ImageEngine, tiny_sd: Path, tmp_path: Path) -> None:
    engine.load(ref(tiny_sd))
    moved = ModelRef(path=str(tmp_path / "gone"), digest=f"digest of {tiny_sd}")
    assert engine.load(moved).seconds < 0.1


def test_another_model_takes_its_place(engine: ImageEngine, tiny_sd: Path, tiny_sdxl: Path) -> None:
    engine.load(ref(tiny_sd))
    engine.load(ref(tiny_sdxl))
    assert engine.models == [f"digest of {tiny_sdxl}"]


def test_another_number_format_is_another_load(engine: ImageEngine, tiny_sd: Path) -> None:
    engine.load(ref(tiny_sd))
    assert engine.load(ref(tiny_sd, dtype="bfloat16")).dtype == "bfloat16"
    engine.unload()


def test_unload_forgets_the_model(engine: ImageEngine, tiny_sd: Path) -> None:
    engine.load(ref(tiny_sd))
    engine.unload()
    assert engine.models == []
    engine.unload()


def test_nothing_holds_a_model_that_was_unloaded(
    engine: ImageEngine, run: Callable[[GenerateTask], object], tiny_sd: Path
) -> None:
    run(make_task(tiny_sd))
    assert engine._loaded is not None
    pipeline = weakref.ref(engine._loaded.model.pipeline)
    engine.unload()
    assert pipeline() is None


def test_a_bad_model_leaves_the_engine_usable(
    engine: ImageEngine, tmp_path: Path, tiny_sd: Path
) -> None:
    with pytest.raises(ModelFileError):
        engine.load(ref(tmp_path))
    assert engine.models == []
    assert engine.load(ref(tiny_sd)).device == "cpu"


@pytest.fixture
def copy(tiny_sd: Path, tmp_path: Path) -> Path:
    """A model whose files a test may change."""
    return shutil.copytree(tiny_sd, tmp_path / "sd")


def _as_it_is(folder: Path) -> tuple[ModelRef, Path]:
    """A reference to a model, and a file of it."""
    path = folder / "unet" / "config.json"
    files = (hashed(path), hashed(folder / "model_index.json"))
    return ref(folder).model_copy(update={"hashed": files}), path


def test_a_file_that_changed_since_its_digest_was_taken_is_named(
    engine: ImageEngine, copy: Path
) -> None:
    wanted, path = _as_it_is(copy)
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ModelFileError, match=r"unet/config\.json was replaced, written to"):
        engine.load(wanted)
    assert engine.models == []
    with pytest.raises(ModelFileError, match=r"unet/config\.json"):
        engine.profile(ProfileOrder(path=str(copy), hashed=wanted.hashed))


def test_a_file_that_changes_while_it_is_loaded_leaves_no_model_of_its_digest(
    engine: ImageEngine, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, path = _as_it_is(copy)
    load = loading.load

    def changing(*args: Any) -> Any:
        loaded = load(*args)
        path.write_text(path.read_text() + "\n")
        return loaded

    monkeypatch.setattr(loading, "load", changing)
    with pytest.raises(ModelFileError, match=r"unet/config\.json"):
        engine.load(wanted)
    assert engine.models == []


def test_a_model_that_is_loaded_draws_nothing_once_its_files_changed(
    engine: ImageEngine, run: Callable[[GenerateTask], object], copy: Path
) -> None:
    wanted, path = _as_it_is(copy)
    task = make_task(copy, task={"model": wanted})
    run(task)
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ModelFileError, match=r"unet/config\.json"):
        run(task)


def test_a_job_loads_what_it_needs(
    engine: ImageEngine, run: Callable[[GenerateTask], tuple[list[object], Finished]], tiny_sd: Path
) -> None:
    engine.unload()
    messages, finished = run(make_task(tiny_sd))
    assert finished.seconds["load"] > 0
    assert isinstance(messages[-1], Made)
    _, finished = run(make_task(tiny_sd))
    assert finished.seconds["load"] == 0


def test_running_out_of_memory_is_our_error_and_the_engine_goes_on(
    engine: ImageEngine, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: object) -> None:
        torch.empty(1 << 50, dtype=torch.uint8)

    task = make_task(tiny_sd)
    with monkeypatch.context() as patched:
        patched.setattr(job, "run", too_much)
        with pytest.raises(OutOfMemory, match="cpu ran out of memory") as caught:
            engine.generate(task, lambda _: None, Control())
    assert "smaller width and height" in caught.value.hint
    assert caught.value.__context__ is None  # its frames would keep the tensors alive
    engine.generate(task, lambda _: None, Control())


@pytest.mark.parametrize("ends", ["well", "cancelled", "badly"])
def test_what_a_job_leaves_in_the_cache_of_cuda_is_given_back_after_it(
    engine: ImageEngine, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    given_back: list[bool] = []
    tensors: list[weakref.ref[torch.Tensor]] = []
    cuda = torch.device("cuda")

    def generate(*_: object) -> None:
        tensor = torch.ones(8)
        tensors.append(weakref.ref(tensor))
        if ends != "well":
            raise JobCancelled("Stop.") if ends == "cancelled" else ValueError(tensor.shape)

    task = make_task(tiny_sd)
    engine.unload()
    monkeypatch.setattr(engine, "_generate", generate)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(tensors[0]() is None))
    monkeypatch.setattr(devices, "synchronize", lambda _: None)
    for device, emptied in ((torch.device("cpu"), []), (cuda, [True])):
        monkeypatch.setattr(engine, "_device", device)
        try:
            engine.generate(task, lambda _: None, Control())
        except (JobCancelled, ValueError):
            assert ends != "well"
        assert given_back == emptied
        tensors.clear()


def test_a_device_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has MPS")
    with pytest.raises(InvalidRequest, match="no device 'mps'"):
        ImageEngine(Options(images=tmp_path, device="mps", threads=1))


def test_what_jobs_reserve_is_told_for_cuda_alone(engine: ImageEngine, tiny_sd: Path) -> None:
    works = (ImageWork(width=64, height=64), ImageWork(width=64, height=64, num_images=8))
    answer = engine.profile(ProfileOrder(path=str(tiny_sd), works=works))
    assert answer.reserved == ()
    assert answer.profile.weights
    assert answer.keys == answer.profile.traced == ()
    order = TraceOrder(path=str(tiny_sd), dtype="float16", device="cuda")
    one, eight = engine._with_reserve(order, works).reserved
    assert 0 < one < eight


def test_the_number_format_that_was_chosen_is_no_other_than_the_same_one_that_is_asked_for(
    engine: ImageEngine, tiny_sd: Path
) -> None:
    engine.unload()
    engine.load(ref(tiny_sd))
    assert engine._loaded is not None
    pipeline = engine._loaded.model.pipeline
    for dtype in ("float32", "auto"):
        engine.load(ref(tiny_sd, dtype=dtype))
        assert engine._loaded.model.pipeline is pipeline


def test_a_job_reports_the_weights_that_are_counted_by_headers(
    engine: ImageEngine, run: Callable[[GenerateTask], Any], tiny_sd: Path, tiny_sdxl: Path
) -> None:
    for folder in (tiny_sd, tiny_sdxl):
        for dtype in ("float32", "bfloat16"):
            task = make_task(folder)
            of_dtype = task.model.model_copy(update={"dtype": dtype})
            _, finished = run(task.model_copy(update={"model": of_dtype}))
            counted = components.of(of_dtype).weights(dtype)
            assert counted
            assert {part.name: round(part.mib * 2**20) for part in finished.memory_parts} == {
                f"weights.{name}": size for name, size in counted.items()
            }
    engine.unload()
