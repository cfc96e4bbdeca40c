"""A model in this process: what it holds, and a context that comes and goes."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import ggufs
import psutil
import pytest

from mysticanvas.contracts.llm import ContextParams
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.errors import Conflict, ModelFileError, OutOfMemory
from mysticanvas.vram import llm
from mysticanvas.workers.llm.model import Model

PROMPT = "abcab"


def ref(path: Path, **context: int) -> LLMRef:
    return LLMRef(path=str(path), digest="digest", context=ContextParams(**context))


@pytest.fixture
def model(tiny_llm: Path) -> Iterator[Model]:
    loaded = Model(ref(tiny_llm, n_ctx=512), "f16", threads=1)
    yield loaded
    loaded.close()


def answer(model: Model) -> list[int]:
    """The likeliest tokens behind a prompt."""
    llama = model.llama
    tokens = llama.tokenize(PROMPT.encode())
    found = []
    for token in llama.generate(tokens, temp=0.0):
        found.append(token)
        if len(found) == 8:
            return found
    raise AssertionError


def names(model: Model) -> set[str]:
    return {part.name for part in model.parts}


def test_it_holds_what_llama_cpp_tells(model: Model, tiny_llm: Path) -> None:
    assert names(model) == {llm.WEIGHTS, llm.CACHE, llm.COMPUTE, llm.OUTPUT}
    assert model.device == "CPU"
    weights = sum(part.mib for part in model.parts if part.name == llm.WEIGHTS)
    # The rest of the file is its header.
    assert 0 < weights <= tiny_llm.stat().st_size / 2**20


def test_a_context_is_dropped_and_made_again_with_the_same_answers(model: Model) -> None:
    first, held = answer(model), model.parts
    for _ in range(30):
        model.drop_context()
        assert names(model) == {llm.WEIGHTS}
        model.make_context()
        assert model.parts == held
        assert answer(model) == first
    # Whatever ends with the model is not remembered once a context.
    assert len(model.llama._model._exit_stack._exit_callbacks) == 2


def test_a_model_without_a_context_says_so(model: Model) -> None:
    model.drop_context()
    model.drop_context()
    with pytest.raises(Conflict, match=r"context of tiny\.gguf was dropped") as caught:
        answer(model)
    assert "Load the model again" in caught.value.hint
    model.make_context()
    model.make_context()
    assert answer(model)


def test_it_can_be_closed_without_a_context(tiny_llm: Path) -> None:
    loaded = Model(ref(tiny_llm, n_ctx=256), "f16", threads=1)
    loaded.drop_context()
    loaded.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory")
def test_no_room_for_a_context_is_out_of_memory(tiny_llm: Path) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    room = psutil.Process().memory_info().vms + (512 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (room, unlimited[1]))
    try:
        # A GiB of cache.
        with pytest.raises(OutOfMemory, match="no memory for tiny"):
            Model(ref(tiny_llm, n_ctx=1 << 22, n_batch=1), "f16", threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, unlimited)


def test_a_chat_template_that_is_none_is_the_files_fault(tmp_path: Path) -> None:
    path = ggufs.make_llm(tmp_path / "bad.gguf", ggufs.Shape(template="{% if %}"))
    with pytest.raises(ModelFileError, match="TemplateSyntaxError"):
        Model(ref(path), "f16", threads=1)
