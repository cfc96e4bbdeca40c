"""What presets weigh is told without loading them, and is what loading them takes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import ggufs
import pytest
import torch

from mysticanvas.contracts.presets import ImagePreset, LLMPreset
from mysticanvas.errors import JobCancelled
from mysticanvas.orchestrator import asking, inspection, weighing
from mysticanvas.orchestrator.arbiter import profiles
from mysticanvas.orchestrator.arbiter.profiles import Batches, Profiles, Subject
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.llm_presets import LLMPresets
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.weighing import Weighing
from mysticanvas.plugins import loading as plugins
from mysticanvas.store import Store
from mysticanvas.workers.image import devices, loading
from mysticanvas.workers.image.parts import Replaced
from mysticanvas.workers.model_files import gguf


class Pace:
    """A job that nobody stops, or somebody at once."""

    def __init__(self, stopped: bool = False) -> None:
        self._stopped = stopped

    def check(self) -> None:
        if self._stopped:
            raise JobCancelled("The job was cancelled.")

    def progress(self, fraction: float, stage: str) -> None: ...


Make = Callable[..., Weighing]


@pytest.fixture
def presets(store: Store) -> Presets:
    return Presets(store, Inspector(), plugins.load("none"), "image")


@pytest.fixture
def llm_presets(store: Store) -> LLMPresets:
    return LLMPresets(store, Inspector())


@pytest.fixture
def make(store: Store, presets: Presets) -> Make:
    def make(device: Any = "cpu") -> Weighing:
        known = Profiles(store.profiles)
        return Weighing(store, presets, known, Inspector(), lambda: device)

    return make


def loaded_mib(path: Path, vae: Path | None = None, dtype: Any = torch.float32) -> float:
    """What a worker reports of the model."""
    pipeline = loading.load(path, torch.device("cpu"), dtype, Replaced(vae=vae))
    return sum(part.mib for part in devices.weights(pipeline))


def test_presets_weigh_what_loading_them_takes(
    store: Store,
    presets: Presets,
    llm_presets: LLMPresets,
    make: Make,
    tiny_sd: Path,
    tmp_path: Path,
) -> None:
    made = checkpoints.make_sd()
    file = checkpoints.write_sd(made, tmp_path / "small.safetensors")
    vae = checkpoints.write(checkpoints.vae(made.vae), tmp_path / "vae.safetensors")
    model = ggufs.make_llm(tmp_path / "words.gguf")
    mixed = ImagePreset(name="mixed", model=str(tiny_sd), vae=str(vae), dtype="bfloat16")
    assert presets.save(mixed).vram_weights_mib is None
    presets.save(ImagePreset(name="single", model=str(file)))
    llm_presets.save(LLMPreset(name="words", model=str(model)))
    assert make().run(Pace()) == {"weighed": 3}
    weights = {each.name: each.vram_weights_mib for each in store.presets.list()}
    assert weights["mixed"] == pytest.approx(loaded_mib(tiny_sd, vae, torch.bfloat16))
    assert weights["single"] == pytest.approx(loaded_mib(file))
    stored = sum(tensor.bytes for tensor in gguf.read(model).tensors)
    assert store.llm_presets.get("words").vram_weights_mib == stored / weighing.MIB
    # Neither what is saved again nor what is looked at again changes any of it.
    assert presets.save(mixed).vram_weights_mib == weights["mixed"]
    assert make().run(Pace()) == {"weighed": 0}


def test_auto_is_what_suits_the_device(
    store: Store, presets: Presets, make: Make, tiny_sd: Path
) -> None:
    presets.save(ImagePreset(name="tiny", model=str(tiny_sd)))
    assert make(device=None).run(Pace()) == {"weighed": 0}
    make("cpu").run(Pace())
    on_cpu = store.presets.get("tiny").vram_weights_mib
    make("cuda").run(Pace())
    on_gpu = store.presets.get("tiny").vram_weights_mib
    assert on_cpu == pytest.approx(loaded_mib(tiny_sd))
    assert on_gpu == pytest.approx(loaded_mib(tiny_sd, dtype=torch.float16))


def test_what_a_language_model_sees_with_counts(
    store: Store, llm_presets: LLMPresets, make: Make, tiny_llm: Path, tmp_path: Path
) -> None:
    sight = ggufs.make_projector(tmp_path / "mmproj.gguf", numbers=1 << 18)
    plain = LLMPreset(name="plain", model=str(tiny_llm))
    llm_presets.save(plain)
    llm_presets.save(plain.replace(name="seeing", mmproj=str(sight)))
    make().run(Pace())
    weights = {each.name: each.vram_weights_mib for each in store.llm_presets.list()}
    assert weights["plain"] is not None
    assert weights["seeing"] == weights["plain"] + 1
    ggufs.make_projector(sight, numbers=1 << 19)
    assert make().run(Pace()) == {"weighed": 1}
    assert store.llm_presets.get("seeing").vram_weights_mib == weights["plain"] + 2


def test_files_that_change_are_weighed_again(
    store: Store, llm_presets: LLMPresets, make: Make, tmp_path: Path
) -> None:
    path = ggufs.make_llm(tmp_path / "words.gguf")
    llm_presets.save(LLMPreset(name="words", model=str(path)))
    make().run(Pace())
    before = store.llm_presets.get("words").vram_weights_mib
    ggufs.make_llm(path, ggufs.Shape(layers=3))
    assert make().run(Pace()) == {"weighed": 1}
    after = store.llm_presets.get("words").vram_weights_mib
    assert before is not None
    assert after is not None
    assert after > before
    path.write_bytes(bytes(10))
    assert make().run(Pace()) == {"weighed": 1}
    assert store.llm_presets.get("words").vram_weights_mib is None
    assert make().run(Pace()) == {"weighed": 0}, "what cannot be told is not asked for ever"


def test_a_process_that_gives_no_answer_is_asked_another_time(
    store: Store,
    presets: Presets,
    llm_presets: LLMPresets,
    make: Make,
    tiny_sd: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    presets.save(ImagePreset(name="tiny", model=str(tiny_sd)))
    path = ggufs.make_llm(tmp_path / "words.gguf")
    llm_presets.save(LLMPreset(name="words", model=str(path)))
    with monkeypatch.context() as broken:
        broken.setattr(profiles, "_MODULE", "mysticanvas.no_such_module")
        broken.setattr(inspection, "_MODULE", "mysticanvas.no_such_module")
        make().run(Pace())
    assert store.presets.get("tiny").vram_weights_mib is None
    assert store.llm_presets.get("words").vram_weights_mib is None
    assert make().run(Pace()) == {"weighed": 2}
    assert store.presets.get("tiny").vram_weights_mib is not None
    assert store.llm_presets.get("words").vram_weights_mib is not None


def test_what_a_job_has_traced_is_not_asked_for(
    store: Store, presets: Presets, make: Make, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = presets.save(ImagePreset(name="tiny", model=str(tiny_sd)))
    subject = Subject(str(tiny_sd), presets.model(preset).digest, "float32", "cpu")
    Profiles(store.profiles).of(subject, [Batches.of(2, guided=False)])
    monkeypatch.setattr(profiles, "_MODULE", "mysticanvas.no_such_module")
    make().run(Pace())
    assert store.presets.get("tiny").vram_weights_mib == pytest.approx(loaded_mib(tiny_sd))


def test_files_that_a_job_found_changed_are_to_be_weighed(
    store: Store, presets: Presets, tiny_sd: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_sd, tmp_path / "model"))
    preset = presets.save(ImagePreset(name="tiny", model=str(folder)))
    presets.notice_changes(preset, presets.model(preset))
    store.presets.weigh(preset, 1.5, "key")
    assert presets.notice_changes(preset, presets.model(preset)) == []
    assert store.presets.weighed() == {"tiny": "key"}
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert presets.notice_changes(preset, presets.model(preset)) != []
    assert store.presets.weighed() == {"tiny": None}
    store.presets.weigh(preset.model_copy(update={"revision": 7}), 1.5, "key")
    assert store.presets.weighed() == {"tiny": None}, "of a revision that is no more"


def test_who_is_stopped_ends_the_process_that_was_asked(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    script = tmp_path / "slow.py"
    script.write_text(
        f"import os, sys, time; open({str(pids)!r}, 'w').write(str(os.getpid()))\n"
        "sys.stdin.read()\ntime.sleep(600)\n"
    )

    def check() -> None:
        if pids.exists() and pids.read_text():
            raise JobCancelled("The job was cancelled.")

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with pytest.raises(JobCancelled):
        asking.ask("slow", [], b"x", environment, 60, check)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


def test_a_job_that_is_cancelled_keeps_what_was_found(
    store: Store, presets: Presets, make: Make, tiny_sd: Path
) -> None:
    presets.save(ImagePreset(name="tiny", model=str(tiny_sd)))
    with pytest.raises(JobCancelled):
        make().run(Pace(stopped=True))
    assert store.presets.weighed() == {"tiny": None}


def test_a_file_whose_rights_are_others_is_weighed_again(
    store: Store, llm_presets: LLMPresets, make: Make, tiny_llm: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copy(tiny_llm, tmp_path / "words.gguf"))
    llm_presets.save(LLMPreset(name="words", model=str(file)))
    assert make(device=None).run(Pace()) == {"weighed": 1}
    file.chmod(0o640)
    assert make(device=None).run(Pace()) == {"weighed": 1}
    assert make(device=None).run(Pace()) == {"weighed": 0}
