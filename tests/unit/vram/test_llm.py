"""The rules of llama.cpp, by numbers that can be checked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from mysticanvas.contracts.llm import AttentionLayer, ContextParams, LanguageModel
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.errors import InvalidRequest
from mysticanvas.vram import llm


def model(*layers: AttentionLayer, **more: Any) -> LanguageModel:
    members: dict[str, Any] = {
        "architecture": "llama", "layers": layers, "embedding": 4096, "context_length": 8192,
        "vocabulary": 128256, "dtype": "q4_K",
        "input_bytes": 1, "layer_bytes": [2, *[0] * (len(layers) - 1)], "output_bytes": 4,
    }  # fmt: skip
    return LanguageModel(**{**members, **more})


LAYER = AttentionLayer(kv_heads=8, key_length=128, value_length=128)
SLIDING = LAYER.model_copy(update={"sliding": True})
LLAMA_8B = model(*[LAYER] * 32)


def test_the_cache_of_an_8b_model() -> None:
    """1 GiB at 8192 tokens, as llama.cpp tells for Llama 3 8B."""
    assert llm.kv_bytes(LLAMA_8B, ContextParams(n_ctx=8192)) == 2**30
    assert llm.kv_bytes(LLAMA_8B, ContextParams(n_ctx=0)) == 2**30


@pytest.mark.parametrize(
    ("kind", "share"),
    [("f32", 2.0), ("bf16", 1.0), ("q8_0", 34 / 64), ("q5_0", 22 / 64), ("q4_0", 18 / 64)],
)
def test_quantised_caches(kind: Any, share: float) -> None:
    params = ContextParams(n_ctx=8192, type_k=kind, type_v=kind)
    assert llm.kv_bytes(LLAMA_8B, params) == share * 2**30


def test_a_context_is_rounded_up_to_256s() -> None:
    sizes = {n: llm.kv_bytes(LLAMA_8B, ContextParams(n_ctx=n)) for n in (1, 256, 257, 3001)}
    cell = 32 * 2 * 8 * 128 * 2
    assert sizes == {1: 256 * cell, 256: 256 * cell, 257: 512 * cell, 3001: 3072 * cell}


def test_sliding_layers_have_cells_for_their_window_and_a_batch() -> None:
    mixed = model(SLIDING, LAYER, window=1000)
    assert llm.cells(mixed, ContextParams(n_ctx=8192)) == (8192, 1536)
    assert llm.cells(mixed, ContextParams(n_ctx=8192, n_ubatch=24)) == (8192, 1024)
    assert llm.cells(mixed, ContextParams(n_ctx=8192, n_batch=24)) == (8192, 1024)
    assert llm.cells(mixed, ContextParams(n_ctx=300)) == (512, 512)
    assert llm.cells(mixed, ContextParams(n_ctx=8192, swa_full=True)) == (8192, 8192)
    row = 2 * 8 * 128 * 2
    assert llm.kv_bytes(mixed, ContextParams(n_ctx=8192)) == (8192 + 1536) * row


def test_without_flash_attention_every_layer_has_the_room_of_the_widest_values() -> None:
    narrow = AttentionLayer(kv_heads=1, key_length=64, value_length=64)
    wide = AttentionLayer(kv_heads=4, key_length=64, value_length=64)
    mixed = model(narrow, wide)
    assert llm.kv_bytes(mixed, ContextParams(n_ctx=256)) == 256 * 2 * 2 * (64 + 256)
    without = ContextParams(n_ctx=256, flash_attn=False)
    assert llm.kv_bytes(mixed, without) == 256 * 2 * (64 + 256 + 256 + 256)


def test_a_row_that_is_no_whole_block_is_refused() -> None:
    odd = model(AttentionLayer(kv_heads=1, key_length=20, value_length=20))
    with pytest.raises(ValueError, match="20 elements is no whole number of blocks of q8_0"):
        llm.kv_bytes(odd, ContextParams(type_k="q8_0"))


@pytest.mark.parametrize(
    ("key", "value", "types", "refused"),
    [
        (16, 16, {"type_k": "q8_0"}, "type_k"),
        (32, 16, {"type_v": "q4_0"}, "type_v"),
        (32, 16, {"type_k": "q4_0"}, None),
        (64, 64, {"type_k": "q8_0", "type_v": "q5_1"}, None),
        (20, 20, {"type_k": "f16", "type_v": "bf16"}, None),
    ],
)
def test_heads_are_whole_blocks_of_the_cache(
    key: int, value: int, types: dict[str, Any], refused: str | None
) -> None:
    """Heads, and not the rows of all of them, of which there are four."""
    layer = AttentionLayer(kv_heads=4, key_length=key, value_length=value)
    params = ContextParams(**types)
    llm.check_cache(model(layer, plain_cache=False), params)
    if refused is None:
        llm.check_cache(model(layer), params)
        return
    with pytest.raises(InvalidRequest, match="no whole blocks of") as caught:
        llm.check_cache(model(layer), params)
    assert caught.value.parameter == refused
    assert caught.value.allowed == "f32, f16, bf16 for this model"


def test_what_a_model_sees_with_counts_as_weights() -> None:
    terms = llm.terms(LLAMA_8B, ContextParams(), compute_bytes=0, mmproj_bytes=3 << 20)
    [sight] = [term for term in terms if term.name == "weights.mmproj"]
    assert (sight.mib, sight.known) == (3.0, "exact")


def test_the_terms_and_how_each_is_known() -> None:
    terms = llm.terms(LLAMA_8B, ContextParams(n_ctx=8192), compute_bytes=3 << 20)
    assert [(term.name, term.known) for term in terms] == [
        ("weights", "exact"), ("kv cache", "exact"), ("compute", "probed"), ("output", "exact"),
    ]  # fmt: skip
    assert [term.mib for term in terms[1:3]] == [1024.0, 3.0]
    assert llm.total_mib(terms) == pytest.approx((7 + 128256 * 4) / 2**20 + 1027.0)


def test_a_cache_without_a_rule_has_to_be_told() -> None:
    other = model(LAYER, plain_cache=False)
    with pytest.raises(ValueError, match="llama"):
        llm.terms(other, ContextParams(), compute_bytes=0)
    told = llm.terms(other, ContextParams(), compute_bytes=0, cache_bytes=5 << 20)
    assert (told[1].mib, told[1].known) == (5.0, "probed")


MIB = 2**20
WEIGHTS = {"input_bytes": 100 * MIB, "layer_bytes": [10 * MIB] * 4, "output_bytes": 5 * MIB}
FOUR = model(*[LAYER] * 4, **WEIGHTS)
"""With 16 MiB of cache a layer at 4096 tokens."""


def planned(**mib: tuple[str, float]) -> list[MemoryPart]:
    return [
        MemoryPart(name=name.rstrip("_").replace("_", " "), mib=size, known="probed", device=device)
        for name, (device, size) in mib.items()
    ]


ON_CUDA = planned(
    kv_cache=("CUDA0", 64), output=("CUDA_Host", 0.49), compute=("CUDA0", 560),
    compute_=("CUDA_Host", 16.01),
)  # fmt: skip


def places(
    model: LanguageModel, devices: list[str], found: list[MemoryPart] = ON_CUDA
) -> dict[tuple[str, str], float]:
    parts = llm.parts(model, ContextParams(n_ctx=4096), found, devices)
    assert len({(part.name, part.device) for part in parts}) == len(parts)
    return {(part.name, part.device): part.mib for part in parts}


def test_buffers_of_the_same_name_count_each_on_its_device() -> None:
    assert places(FOUR, ["CUDA0"] * 5) == {
        ("weights", "CPU"): 100, ("weights", "CUDA0"): 45, ("kv cache", "CUDA0"): 64,
        ("compute", "CUDA0"): 560, ("compute", "CUDA_Host"): 16.01,
        ("output", "CUDA_Host"): 128256 * 4 / MIB,
    }  # fmt: skip


def test_layers_lie_where_llama_cpp_puts_them() -> None:
    found = places(FOUR, ["CPU", "CPU", "CPU", "CUDA0", "CUDA0"])
    assert (found["weights", "CPU"], found["weights", "CUDA0"]) == (130, 15)
    assert (found["kv cache", "CPU"], found["kv cache", "CUDA0"]) == (48, 16)
    tied = FOUR.model_copy(update={"tied_bytes": 90 * MIB})
    assert places(tied, ["CPU"] * 4 + ["CUDA0"])["weights", "CUDA0"] == 95
    assert places(tied, ["CPU"] * 5)["weights", "CPU"] == 145
    # What it does not name goes where it computes.
    assert places(FOUR, [])["weights", "CUDA0"] == 45


def test_a_cache_without_a_rule_is_shared_as_the_layers_are() -> None:
    other = FOUR.model_copy(update={"plain_cache": False})
    found = places(other, ["CPU", "CUDA0", "CUDA0", "CUDA0", "CUDA0"])
    assert (found["kv cache", "CPU"], found["kv cache", "CUDA0"]) == (16, 48)
