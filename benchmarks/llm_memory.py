"""What a language model takes: the terms of a prediction against llama.cpp's own log, and how long
it takes to have them."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp

from benchmarks.figure import Bar, Figure, duration, percentage
from benchmarks.statistics import Summary, summarize
from mysticanvas.contracts.llm import ContextParams, LanguageModel
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.vram import llm
from mysticanvas.workers.llm import metadata, probing, vetting
from mysticanvas.workers.llm.model import Model
from mysticanvas.workers.model_files import gguf

TESTS = Path(__file__).parents[1] / "tests"
LARGE_VOCABULARY = 262_144
"""Of the largest models there are."""
_ROUNDS = 20


class Compared(NamedTuple):
    """A prediction beside what was allocated."""

    weights_bytes: int
    """Predicted, less those of llama.cpp."""
    cache_mib: float
    """Predicted, to the two digits of the log, less what it tells."""
    total_percent: float
    """Predicted, less what was allocated, of that."""
    probe_s: float


def measure() -> Sequence[Figure]:
    """The figures, over every shape that the tests compare."""
    # The shapes are those of the tests, which are no package.
    sys.path.insert(0, str(TESTS))
    ggufs, shapes = importlib.import_module("ggufs"), importlib.import_module("shapes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            _compare(ggufs.make_llm(folder / "model.gguf", shape), params)
            for shape, params in shapes.SHAPES.values()
        ]
        shape = ggufs.Shape(vocabulary=LARGE_VOCABULARY, embedding=32)
        large = ggufs.make_llm(folder / "large.gguf", shape)
        small = ggufs.make_llm(folder / "small.gguf")
        return [*_accuracy(rows), *_times(small, large), _probe(rows)]


def _compare(path: Path, params: ContextParams) -> Compared:
    described = metadata.describe(gguf.read(path), path)
    began = time.perf_counter()
    planned = probing.probe(path, [params]).buffers[0]
    probe_s = time.perf_counter() - began
    compute = sum(part.mib for part in planned if part.name == llm.COMPUTE)
    terms = llm.terms(described, params, round(compute * llm.MIB))
    model = Model(LLMRef(path=str(path), digest="", context=params), described.dtype, threads=1)
    weights = llama_cpp.llama_model_size(model.llama._model.model)
    told = {name: _sum(model, name) for name in (llm.WEIGHTS, llm.CACHE, llm.COMPUTE, llm.OUTPUT)}
    model.close()
    total = sum(told.values())
    return Compared(
        described.weights_bytes - weights,
        _as_told(described, params) - told[llm.CACHE],
        (llm.total_mib(terms) - total) / total * 100,
        probe_s,
    )


def _as_told(model: LanguageModel, params: ContextParams) -> float:
    """The cache as the log would tell it: sliding layers have one of their own, each rounded."""
    kinds = {layer.sliding for layer in model.layers}
    if not params.flash_attn or len(kinds) == 1:
        return round(llm.kv_bytes(model, params) / llm.MIB, 2)
    caches = [[layer for layer in model.layers if layer.sliding is kind] for kind in kinds]
    parts = [model.model_copy(update={"layers": tuple(layers)}) for layers in caches]
    return sum(round(llm.kv_bytes(part, params) / llm.MIB, 2) for part in parts)


def _sum(model: Model, name: str) -> float:
    return sum(part.mib for part in model.parts if part.name == name)


def _accuracy(rows: Sequence[Compared]) -> list[Figure]:
    errors = [abs(row.total_percent) for row in rows]
    worst = summarize(errors)._replace(median=max(errors))
    weights = [row.weights_bytes == 0 for row in rows]
    caches = [abs(row.cache_mib) < 1e-6 for row in rows]
    return [
        _share("llm_memory.weights", "weights to the byte, of all shapes", weights),
        _share("llm_memory.cache", "KV as the log tells it, of all shapes", caches),
        percentage("llm_memory.total", "total, worst error", worst, 1.0),
    ]


def _share(name: str, what: str, exact: Sequence[bool]) -> Figure:
    value = 100 * sum(exact) / len(exact)
    summary = Summary(len(exact), value, value, value)
    return percentage(name, what, summary, None)._replace(bar=Bar(100.0, "≥"))


def _probe(rows: Sequence[Compared]) -> Figure:
    return duration(
        "llm_memory.probe", "buffers planned (no_alloc)", summarize([row.probe_s for row in rows])
    )


def _times(small: Path, large: Path) -> list[Figure]:
    def timed(work: Callable[[], Any], rounds: int = _ROUNDS) -> Summary:
        samples = []
        for _ in range(rounds):
            began = time.perf_counter()
            work()
            samples.append(time.perf_counter() - began)
        return summarize(samples)

    described = metadata.describe(gguf.read(small), small)
    params = ContextParams()
    model = Model(LLMRef(path=str(small), digest="", context=params), described.dtype, threads=1)
    figures = [
        duration("llm_memory.terms", "terms, given the header", timed(
            lambda: llm.terms(described, params, 0)), 1.0),
        duration("llm_memory.header", "header of 262,144 tokens read", timed(
            lambda: gguf.read(large), 5)),
        duration("llm_memory.vet", "file vetted by a process", timed(
            lambda: vetting.vet(small, [params]), 5)),
        duration("llm_memory.drop", "context dropped and made again", timed(
            lambda: (model.drop_context(), model.make_context()))),
    ]  # fmt: skip
    model.close()
    return figures
