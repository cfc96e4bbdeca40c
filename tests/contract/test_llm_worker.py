"""A worker of language models as a process: what it loads, holds, gives back and refuses."""

from __future__ import annotations

import shutil
import struct
import time
from pathlib import Path
from typing import Any

import ggufs
import httpx
import psutil
import pytest
from gguf import GGUFValueType
from tasks import hashed, make_task
from worker_process import Worker

from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.worker import Failed, LLMRef, ModelRef

HOSTILE_S = 30.0
"""Within which a hostile file is refused, on the busiest of machines."""


def load(worker: Worker, path: Path, **context: Any) -> httpx.Response:
    ref = LLMRef(path=str(path), digest=f"digest of {path}").model_dump(mode="json")
    ref["context"].update(context)
    return worker.http.post("/v1/load", json={"model": ref})


def parts(worker: Worker) -> dict[str, float]:
    return {part.name: part.mib for part in worker.health().memory_parts}


def test_load_drop_the_context_load_again_unload(llm_worker: Worker, tiny_llm: Path) -> None:
    assert parts(llm_worker) == {}
    loaded = load(llm_worker, tiny_llm, n_ctx=8192).json()
    assert (loaded["digest"], loaded["device"]) == (f"digest of {tiny_llm}", "CPU")
    assert loaded["dtype"] == "f16"
    held = parts(llm_worker)
    assert held.keys() == {"weights", "kv cache", "compute", "output"}
    assert held["kv cache"] == 2.0

    dropped = llm_worker.http.delete("/v1/context").json()
    assert [part["name"] for part in dropped["memory_parts"]] == ["weights"]
    assert dropped["models"] == [f"digest of {tiny_llm}"]

    assert load(llm_worker, tiny_llm, n_ctx=8192).is_success
    assert parts(llm_worker) == held

    assert load(llm_worker, tiny_llm, n_ctx=512).is_success
    assert parts(llm_worker)["kv cache"] < held["kv cache"]

    unloaded = llm_worker.http.post("/v1/unload").json()
    assert (unloaded["models"], unloaded["memory_parts"]) == ([], [])


def test_a_file_that_changed_since_its_digest_was_taken_is_not_loaded(
    llm_worker: Worker, tiny_llm: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(tiny_llm, tmp_path / "model.gguf"))
    ref = LLMRef(path=str(path), digest="digest", hashed=(hashed(path),))
    with path.open("ab") as file:
        file.write(b"\0")
    refused = llm_worker.http.post("/v1/load", json={"model": ref.model_dump(mode="json")})
    assert refused.json()["code"] == "model_file_error"
    assert "model.gguf was replaced" in refused.json()["detail"]
    assert llm_worker.health().models == []


def test_dropping_a_context_gives_its_memory_back(llm_worker: Worker, tiny_llm: Path) -> None:
    assert load(llm_worker, tiny_llm, n_ctx=1 << 20).is_success
    full, cache = llm_worker.health().memory_mib, parts(llm_worker)["kv cache"]
    assert cache == 256.0
    assert llm_worker.http.delete("/v1/context").is_success
    assert full - llm_worker.health().memory_mib > 0.9 * cache


def test_dropping_what_is_not_there_is_harmless(llm_worker: Worker) -> None:
    assert llm_worker.http.delete("/v1/context").is_success


@pytest.mark.fault("a GGUF file over which llama.cpp aborts", "the file is refused")
def test_a_file_over_which_llama_cpp_aborts_does_not_end_the_worker(
    llm_worker: Worker, tiny_llm: Path, tmp_path: Path
) -> None:
    u32 = GGUFValueType.UINT32
    extra = (("expert_count", 4, u32), ("expert_used_count", 0, u32))
    path = ggufs.make_llm(tmp_path / "aborts.gguf", ggufs.Shape(extra=extra))
    problem = load(llm_worker, path).json()
    assert (problem["status"], problem["code"]) == (422, "model_file_error")
    assert "llama.cpp crashed (SIGABRT)" in problem["detail"]
    assert llm_worker.health().state is WorkerState.READY
    assert not psutil.Process(llm_worker.pid).children(recursive=True)
    assert load(llm_worker, tiny_llm).is_success


def hostile(folder: Path) -> dict[str, Path]:
    whole = ggufs.make_llm(folder / "whole.gguf").read_bytes()
    contents = {
        "cut within its weights": whole[:-500],
        "cut within its header": whole[:300],
        "empty": b"",
        "huge-headered": whole[:8] + struct.pack("<QQ", 1 << 40, 1 << 40) + whole[24:],
        "another format": b"PK\3\4" + whole,
        "wrongly typed": whole.replace(b"blk.0.attn_q.weight", b"blk.0.attn_q.wEight"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


@pytest.mark.fault("a damaged or hostile GGUF file", "refused with a reason; the worker goes on")
def test_hostile_files_are_refused_in_time(
    llm_worker: Worker, tiny_llm: Path, tmp_path: Path
) -> None:
    for name, path in hostile(tmp_path).items():
        began = time.monotonic()
        problem = load(llm_worker, path).json()
        assert time.monotonic() - began < HOSTILE_S
        assert problem["code"] == "model_file_error", name
        assert name in problem["detail"]
        assert llm_worker.health().state is WorkerState.READY
    assert load(llm_worker, tiny_llm).is_success


def test_a_context_that_makes_no_sense_is_refused_before_anything(
    llm_worker: Worker, tiny_llm: Path
) -> None:
    for context in ({"n_ctx": -1}, {"type_k": "q9"}, {"type_v": "q8_0", "flash_attn": False}):
        problem = load(llm_worker, tiny_llm, **context).json()
        assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert "flash_attn=True" in problem["detail"]
    assert llm_worker.health().models == []


def test_kinds_of_models_and_workers_are_told_apart(
    llm_worker: Worker, any_painter: Worker, tiny_sd: Path, tiny_llm: Path
) -> None:
    image = ModelRef(path=str(tiny_sd), digest="digest").model_dump()
    problems = [
        llm_worker.http.post("/v1/load", json={"model": image}).json(),
        load(any_painter, tiny_llm).json(),
        any_painter.http.delete("/v1/context").json(),
    ]
    assert [problem["code"] for problem in problems] == ["invalid_request"] * 3
    assert "makes no pictures" in problems[0]["detail"]
    assert "runs no language models" in problems[1]["detail"]
    failed = llm_worker.generate(make_task(tiny_sd))[-1]
    assert isinstance(failed, Failed)
    assert failed.problem.code == "invalid_request"
    assert llm_worker.health().state is WorkerState.READY


def test_the_log_has_no_chat_template(llm_worker: Worker, tmp_path: Path) -> None:
    shape = ggufs.Shape(template="{# unmistakable #}{{ messages[0]['content'] }}")
    assert load(llm_worker, ggufs.make_llm(tmp_path / "chat.gguf", shape)).is_success
    written = llm_worker.log.read_text() + (llm_worker.home / "output.log").read_text()
    assert "unmistakable" not in written
    assert "model_loaded" in written
