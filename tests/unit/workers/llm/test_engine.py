"""What the engine of language models tells of itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.errors import OutOfMemory
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
