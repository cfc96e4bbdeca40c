"""Files that llama.cpp does not survive, looked into by a process that nobody misses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ggufs
import psutil
import pytest
from gguf import GGUFValueType

from mysticanvas import environment
from mysticanvas.contracts.llm import ContextParams, InspectionOrder
from mysticanvas.errors import InvalidRequest, ModelFileError, OutOfMemory
from mysticanvas.workers.llm import inspector, vetting


def made(folder: Path, **shape: Any) -> Path:
    return ggufs.make_llm(folder / "model.gguf", ggufs.Shape(**shape))


def test_a_sound_file_is_described_and_planned(tiny_llm: Path) -> None:
    contexts = [ContextParams(n_ctx=n) for n in (512, 1024)]
    found = vetting.vet(tiny_llm, contexts)
    assert found.model.architecture == "llama"
    caches = [part.mib for parts in found.buffers for part in parts if part.name == "kv cache"]
    assert caches == [0.12, 0.25]


def test_a_file_that_makes_llama_cpp_abort_is_the_files_fault(tmp_path: Path) -> None:
    """None of four experts is used, which llama.cpp asserts and does not check."""
    u32 = GGUFValueType.UINT32
    path = made(tmp_path, extra=(("expert_count", 4, u32), ("expert_used_count", 0, u32)))
    with pytest.raises(ModelFileError, match=r"llama\.cpp crashed \(SIGABRT\)") as caught:
        vetting.vet(path, [ContextParams()])
    assert str(path) in caught.value.detail


def test_what_llama_cpp_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    path = made(tmp_path, architecture="llama", extra=(("rope.dimension_count", 3, None),))
    with pytest.raises(ModelFileError, match="invalid n_rot: 3, expected 16"):
        vetting.vet(path, [])


def test_a_context_that_cannot_be_is_not_the_files_fault(tmp_path: Path) -> None:
    path = made(tmp_path, embedding=40, heads=2, kv_heads=1)
    with pytest.raises(InvalidRequest, match="20 elements, which are no whole blocks") as caught:
        vetting.vet(path, [ContextParams(type_k="q4_0")])
    assert caught.value.parameter == "type_k"


def test_what_it_sees_with_is_looked_into(tiny_llm: Path, tmp_path: Path) -> None:
    sight = ggufs.make_projector(tmp_path / "mmproj.gguf")
    assert vetting.vet(tiny_llm, [], mmproj=str(sight)).mmproj_bytes == 4096
    with pytest.raises(ModelFileError, match="its architecture is 'llama'"):
        vetting.vet(tiny_llm, [], mmproj=str(tiny_llm))
    sight.write_bytes(bytes(1 << 20))
    with pytest.raises(ModelFileError, match=r"mmproj\.gguf is not a sound GGUF file"):
        vetting.vet(tiny_llm, [], mmproj=str(sight))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="and the file at"):
        vetting.vet(path, [ContextParams()])


def test_one_that_does_not_come_back_is_ended(
    tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that only reads its input stands for a file over which llama.cpp hangs."""
    monkeypatch.setattr(vetting, "INSPECTOR", "hanging_inspector")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr(environment, "INHERITED", [*environment.INHERITED, "PYTHONPATH"])
    before = set(psutil.Process(os.getpid()).children())
    with pytest.raises(ModelFileError, match=r"did not come back within 0\.5 s"):
        vetting.vet(tiny_llm, [], timeout_s=0.5)
    assert set(psutil.Process(os.getpid()).children()) <= before


def test_a_gpu_without_room_is_not_the_files_fault(
    tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, llama.cpp ends the process, which it does not with all layers on the CPU."""
    ask = vetting._ask

    def crowded(order: InspectionOrder, timeout_s: float) -> Any:
        return (None, "crashed (SIGABRT)") if order.n_gpu_layers else ask(order, timeout_s)

    monkeypatch.setattr(vetting, "_ask", crowded)
    with pytest.raises(OutOfMemory, match=r"A GPU is too full .* tiny") as caught:
        vetting.vet(tiny_llm, [ContextParams()])
    assert "n_gpu_layers=0" in caught.value.hint
    assert vetting.vet(tiny_llm, [ContextParams()], n_gpu_layers=0).model.architecture == "llama"


def test_an_order_that_is_none_is_answered() -> None:
    told = inspector.answer(b'{"path": 7}')
    assert told.problem is not None
    assert told.problem.code == "invalid_request"
