"""What could be sampled and not be decoded, for another process: PyTorch's own allocator fails."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tasks import make_task
from transformer_models import MAKERS

from mysticanvas.contracts.worker import Finished, GenerateTask, Kept, Made
from mysticanvas.errors import OutOfMemory
from mysticanvas.workers.engine import Control, Options
from mysticanvas.workers.image import latents, offload
from mysticanvas.workers.image.engine import ImageEngine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "latents"


@pytest.fixture(scope="module")
def engines(home: Path, folder: Path) -> list[ImageEngine]:
    """The one that samples, and the one that decodes."""
    options = Options(images=home / "images", device="cpu", threads=1, latents=folder)
    return [ImageEngine(options), ImageEngine(options)]


class Ran:
    """A task that was run."""

    def __init__(self, engine: ImageEngine, task: GenerateTask) -> None:
        self.messages: list[Any] = []
        self.last = engine.generate(task, self.messages.append, Control())

    @property
    def made(self) -> list[Made]:
        return [each for each in self.messages if isinstance(each, Made)]

    @property
    def pixels(self) -> list[str]:
        return [each.pixels_sha256 for each in self.made]

    @property
    def stages(self) -> set[str]:
        return {each.progress.stage for each in self.messages if each.type == "progress"}


@contextlib.contextmanager
def scarce(engine: ImageEngine, task: GenerateTask) -> Iterator[list[int]]:
    """No decode finds memory; how many were tried."""
    engine.load(task.model)
    assert engine._loaded is not None
    tried: list[int] = []

    def fail(*_: Any) -> None:
        tried.append(1)
        torch.empty(1 << 50)

    hook = engine._loaded.model.pipeline.vae.decoder.register_forward_pre_hook(fail)
    yield tried
    hook.remove()


def to_be_decoded(task: GenerateTask, kept: Kept) -> GenerateTask:
    recipe = task.recipe.model_copy(update={"mitigations": kept.mitigations})
    return task.model_copy(update={"latents": kept.latents, "recipe": recipe})


@pytest.mark.fault("no memory to decode, in any way", "the latents are kept, and decoded elsewhere")
@pytest.mark.parametrize("name", ["sd", "sdxl", *MAKERS])
def test_what_one_process_sampled_another_decodes_to_the_same_pixels(
    engines: list[ImageEngine],
    tiny_sd: Path,
    tiny_sdxl: Path,
    folder: Path,
    tmp_path: Path,
    name: str,
) -> None:
    if name in MAKERS:
        more = {"num_images": 2, "scheduler": "FlowMatchEulerDiscreteScheduler"}
        task = make_task(MAKERS[name](tmp_path / name), **more)
    else:
        task = make_task({"sd": tiny_sd, "sdxl": tiny_sdxl}[name], num_images=2)
    plain = Ran(engines[0], task)
    with scarce(engines[0], task) as tried:
        kept = Ran(engines[0], task).last
    assert isinstance(kept, Kept)
    assert len(tried) == 2
    assert [use.phase for use in kept.ran_out.phases if use.at_least] == ["vae_decode"] * 2
    assert stat.S_IMODE((folder / kept.latents).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    decoded = Ran(engines[1], to_be_decoded(task, kept))
    assert isinstance(decoded.last, Finished)
    assert decoded.pixels == plain.pixels
    assert [each.recipe for each in decoded.made] == [each.recipe for each in plain.made]
    assert decoded.stages <= {"load", "decode", "save"}


def test_beside_other_memory_the_weights_stay_away_from_the_device(
    engines: list[ImageEngine], tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(tiny_sd)
    plain = Ran(engines[0], task)
    monkeypatch.setattr(offload, "helps", lambda _: True)
    with scarce(engines[0], task):
        kept = Ran(engines[0], task).last
    assert isinstance(kept, Kept)
    decoded = Ran(engines[1], to_be_decoded(task, kept))
    assert decoded.pixels == plain.pixels
    assert decoded.made[0].recipe.mitigations == ("offload_model",)
    assert decoded.made[0].recipe.hash == plain.made[0].recipe.hash


@pytest.mark.fault("no memory to decode in a new process either", "told as memory that ran out")
def test_it_is_tried_once_and_by_leave(
    engines: list[ImageEngine], tiny_sd: Path, folder: Path
) -> None:
    task = make_task(tiny_sd)
    with scarce(engines[0], task):
        kept = Ran(engines[0], task).last
        assert isinstance(kept, Kept)
        with pytest.raises(OutOfMemory) as caught:
            Ran(engines[0], to_be_decoded(task, kept))
        assert "ran_out" in caught.value.extra
        (folder / kept.latents).unlink()
        with pytest.raises(OutOfMemory):
            Ran(engines[0], task.model_copy(update={"allowed": "none"}))
    assert not list(folder.glob(f"*{task.job_id}*"))


@pytest.mark.fault("latents that are gone or damaged", "sampled again")
@pytest.mark.parametrize("content", [None, b"", b"no tensors at all"])
def test_latents_that_cannot_be_read_are_made_again(
    engines: list[ImageEngine], tiny_sd: Path, folder: Path, content: bytes | None
) -> None:
    task = make_task(tiny_sd)
    plain = Ran(engines[1], task)
    folder.mkdir(exist_ok=True)
    if content is not None:
        (folder / "0.safetensors").write_bytes(content)
    again = Ran(engines[1], task.model_copy(update={"latents": "0.safetensors"}))
    assert again.pixels == plain.pixels
    assert "denoise" in again.stages


@pytest.mark.fault("a full disk as latents are kept", "told as memory that ran out")
def test_a_full_disk_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full")
    monkeypatch.setattr(latents.durable, "replace", lambda _, content: full.write_bytes(content))
    assert not latents.save(tmp_path, "0.safetensors", torch.ones(1 << 16))
