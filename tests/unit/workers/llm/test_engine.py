"""What the engine of language models tells of itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import llama_cpp
import pytest

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.errors import OutOfMemory, WorkerCrashed
from mysticanvas.vram import llm
from mysticanvas.workers.engine import Options, SeesDevice
from mysticanvas.workers.llm.engine import LLMEngine
from mysticanvas.workers.llm.model import Model


def made(folder: Path, device: str, *places: str) -> LLMEngine:
    """An engine whose model lies there."""
    engine = LLMEngine(Options(images=folder, device=device))
    parts = [
        MemoryPart(name=llm.WEIGHTS, mib=64, known="measured", device=place) for place in places
    ]
    engine._model = SimpleNamespace(parts=parts) if parts else None  # type: ignore[assignment]
    assert isinstance(engine, SeesDevice)
    return engine


@pytest.mark.parametrize(
    ("device", "places", "kind"),
    [
        ("cpu", (), "cpu"),
        ("auto", (), None),
        ("auto", ("CPU", "CUDA_Host", "CUDA0"), "cuda"),
        ("auto", ("MTL0_Mapped",), "mps"),
        # Another model, with other `n_gpu_layers`, may be put elsewhere.
        ("auto", ("CPU",), None),
        ("auto", ("CUDA_Host",), None),
    ],
)
def test_it_tells_what_its_model_lies_on(
    tmp_path: Path, device: str, places: tuple[str, ...], kind: str | None
) -> None:
    assert made(tmp_path, device, *places).device_kind == kind


@pytest.mark.fault(
    "no memory for the context that was dropped", "nothing is kept that nobody knows"
)
def test_a_model_whose_context_cannot_be_made_again_gives_its_weights_back(
    tmp_path: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Model) -> None:
        raise OutOfMemory("There is no memory for it.")

    engine = LLMEngine(Options(images=tmp_path, device="cpu"))
    model = LLMRef(path=str(tiny_llm), digest="digest")
    engine.load(model)
    engine.drop_context()
    with monkeypatch.context() as patch:
        patch.setattr(Model, "make_context", refuse)
        with pytest.raises(OutOfMemory):
            engine.load(model)
    assert (engine.models, engine.memory) == ([], [])
    engine.load(model)
    assert engine.models == ["digest"]
    engine.unload()


@pytest.mark.skipif(llama_cpp.llama_supports_gpu_offload(), reason="this llama.cpp finds a GPU")
def test_a_gpu_that_was_there_is_not_replaced_by_a_cpu(tmp_path: Path) -> None:
    with pytest.raises(WorkerCrashed, match="The GPU is gone: llama.cpp") as caught:
        LLMEngine(Options(images=tmp_path, before="cuda"))
    for words in ("nvidia-smi", "llama-cpp-python", "MYSTICANVAS_DEVICE=cpu"):
        assert words in caught.value.hint


def test_a_device_that_is_set_a_cpu_and_a_gpu_that_is_there_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LLMEngine(Options(images=tmp_path, before="cpu"))
    for device in ("cpu", "cuda"):
        LLMEngine(Options(images=tmp_path, device=device, before="cuda"))
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: True)
    LLMEngine(Options(images=tmp_path, before="cuda"))
