"""The terms of a prediction against what llama.cpp tells when it really loads."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import ggufs
import llama_cpp
import pytest
from shapes import SHAPES

from mysticanvas.contracts.worker import LLMRef
from mysticanvas.vram import llm
from mysticanvas.workers.llm import metadata, probing
from mysticanvas.workers.llm.model import Model
from mysticanvas.workers.model_files import gguf

TOLD_MIB = 0.005 + 1e-6
"""The log has two digits."""


@pytest.mark.parametrize("name", SHAPES)
def test_a_prediction_meets_the_log(name: str, tmp_path: Path) -> None:
    shape, params = SHAPES[name]
    path = ggufs.make_llm(tmp_path / "model.gguf", shape)
    described = metadata.describe(gguf.read(path), path)
    planned = probing.probe(path, [params]).buffers[0]
    compute = sum(part.mib for part in planned if part.name == llm.COMPUTE)
    terms = llm.terms(described, params, round(compute * llm.MIB))

    model = Model(LLMRef(path=str(path), digest="x", context=params), described.dtype, threads=1)
    told: dict[str, float] = defaultdict(float)
    for part in model.parts:
        assert part.known == "measured"
        told[part.name] += part.mib
    weights = llama_cpp.llama_model_size(model.llama._model.model)
    model.close()

    predicted = {term.name: term.mib for term in terms}
    assert described.weights_bytes == weights
    # Each buffer's share is rounded: weights can lie in two.
    assert predicted[llm.WEIGHTS] == pytest.approx(told[llm.WEIGHTS], abs=2 * TOLD_MIB)
    assert predicted[llm.CACHE] == pytest.approx(told[llm.CACHE], abs=2 * TOLD_MIB)
    assert predicted[llm.OUTPUT] == pytest.approx(told[llm.OUTPUT], abs=TOLD_MIB)
    assert predicted[llm.COMPUTE] == pytest.approx(told[llm.COMPUTE], abs=1e-6)
    assert llm.total_mib(terms) == pytest.approx(sum(told.values()), rel=0.01)


@pytest.mark.parametrize("name", SHAPES)
def test_the_cache_that_is_planned_is_that_of_the_rule(name: str, tmp_path: Path) -> None:
    shape, params = SHAPES[name]
    path = ggufs.make_llm(tmp_path / "model.gguf", shape)
    described = metadata.describe(gguf.read(path), path)
    cache = probing.probe(path, [params]).buffers[0][0]
    assert (cache.name, cache.known) == (llm.CACHE, "probed")
    assert probing.probe(path, []).devices == ["CPU"] * (len(described.layers) + 1)
    caches = 2 if described.window else 1
    assert cache.mib == pytest.approx(
        llm.kv_bytes(described, params) / llm.MIB, abs=caches * TOLD_MIB
    )
