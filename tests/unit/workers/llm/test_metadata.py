"""What a header says of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ggufs
import pytest

from mysticanvas.contracts.llm import LanguageModel
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.llm import metadata
from mysticanvas.workers.model_files import gguf
from mysticanvas.workers.model_files.gguf import Header, Tensor

PATH = Path("model.gguf")


def described(folder: Path, **shape: Any) -> LanguageModel:
    path = ggufs.make_llm(folder / "model.gguf", ggufs.Shape(**shape))
    return metadata.describe(gguf.read(path), path)


def header(architecture: str = "llama", **members: Any) -> Header:
    values = {
        "general.architecture": architecture,
        f"{architecture}.block_count": 8,
        f"{architecture}.context_length": 4096,
        f"{architecture}.embedding_length": 64,
        f"{architecture}.attention.head_count": 4,
    }
    arrays = {}
    for name, value in members.items():
        key = f"{architecture}.{name.replace('__', '.')}"
        values.pop(key, None)
        if isinstance(value, tuple):
            arrays[key] = value
        elif value is not None:
            values[key] = value
    lengths = {"tokenizer.ggml.tokens": 100, **{key: len(value) for key, value in arrays.items()}}
    tensors = (Tensor("token_embd.weight", (64, 100), "f16", 0, 12800),)
    return Header(values, arrays, lengths, tensors, 20000)


def sliding(found: LanguageModel) -> str:
    return "".join("s" if layer.sliding else "F" for layer in found.layers)


def test_a_model(tmp_path: Path) -> None:
    found = described(tmp_path, layers=3, kv_heads=2, weights="Q8_0")
    assert (found.architecture, found.embedding, found.context_length) == ("llama", 64, 4096)
    assert (found.vocabulary, found.dtype, found.window) == (512, "q8_0", 0)
    assert [(a.kv_heads, a.key_length, a.value_length) for a in found.layers] == [(2, 16, 16)] * 3
    assert found.plain_cache
    matrix = 512 * 64 // 32 * 34
    assert (found.input_bytes, found.output_bytes) == (matrix, matrix + 64 * 4)
    assert len(set(found.layer_bytes)) == 1
    assert (len(found.layer_bytes), found.tied_bytes) == (3, 0)
    tied = described(tmp_path, tied=True, weights="Q8_0")
    assert (tied.tied_bytes, tied.output_bytes) == (matrix, 64 * 4)


@pytest.mark.parametrize(
    ("architecture", "members", "layers"),
    [
        ("llama", {"attention__sliding_window": 512}, "FFFFFFFF"),
        ("gemma2", {}, "sFsFsFsF"),
        ("gemma3", {}, "FFFFFFFF"),
        ("gemma3", {"attention__sliding_window": 512}, "sssssFss"),
        ("gpt-oss", {"attention__sliding_window": 128}, "sFsFsFsF"),
        ("llama4", {}, "sssFsssF"),
        ("llama4", {"attention__sliding_window": 0}, "FFFFFFFF"),
        ("smallthinker", {"attention__sliding_window": 7}, "FsssFsss"),
        (
            "cohere2",
            {"attention__sliding_window": 9, "attention__sliding_window_pattern": 2},
            "sFsFsFsF",
        ),
        (
            "gemma3",
            {
                "attention__sliding_window": 9,
                "attention__sliding_window_pattern": (1, 1, 0, 1, 1, 0, 1, 0),
            },
            "ssFssFsF",
        ),
        (
            "gemma3",
            {"attention__sliding_window": 9, "attention__sliding_window_pattern": 0},
            "ssssssss",
        ),
    ],
)
def test_which_layers_look_back_through_a_window(
    architecture: str, members: dict[str, Any], layers: str
) -> None:
    found = metadata.describe(header(architecture, **members), PATH)
    assert sliding(found) == layers
    assert found.plain_cache


@pytest.mark.parametrize(
    ("architecture", "window"), [("gemma2", 4096), ("llama4", 8192), ("smallthinker", 4096)]
)
def test_windows_that_an_architecture_sets(architecture: str, window: int) -> None:
    members = {"attention__sliding_window": 7} if architecture == "smallthinker" else {}
    assert metadata.describe(header(architecture, **members), PATH).window == window


def test_heads_and_lengths_of_their_own() -> None:
    found = metadata.describe(
        header(
            "gemma3",
            attention__head_count_kv=(1, 2, 3, 4, 0, 6, 7, 8),
            attention__key_length=256,
            attention__value_length=128,
            attention__key_length_swa=64,
            attention__sliding_window=512,
        ),
        PATH,
    )
    assert [layer.kv_heads for layer in found.layers] == [1, 2, 3, 4, 0, 6, 7, 8]
    assert {(layer.sliding, layer.key_length, layer.value_length) for layer in found.layers} == {
        (True, 64, 128), (False, 256, 128),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "members"),
    [
        ("mamba", {"ssm__state_size": 16}),
        ("deepseek2", {"attention__kv_lora_rank": 512}),
        ("gemma3n", {"attention__shared_kv_layers": 2}),
        ("an-architecture-of-tomorrow", {}),
        ("llama", {"nextn_predict_layers": 1}),
        ("qwen2", {"attention__causal": False}),
    ],
)
def test_caches_for_which_no_rule_is_known(architecture: str, members: dict[str, Any]) -> None:
    assert not metadata.describe(header(architecture, **members), PATH).plain_cache


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"block_count": 0}, "llama.block_count = 0"),
        ({"block_count": 513}, "from 1 to 512"),
        ({"block_count": "many"}, "'many'"),
        ({"block_count": True}, "True"),
        ({"context_length": None}, "llama.context_length = None"),
        ({"attention__head_count": -1}, "llama.attention.head_count = -1"),
        ({"attention__head_count_kv": (1, 2)}, "2 values of 'attention.head_count_kv' for 8"),
        ({"attention__head_count_kv": (1, 2, 3, 4, 5, 6, 7, "x")}, "'x'"),
    ],
)
def test_members_that_make_no_sense_are_named(members: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        metadata.describe(header(**members), PATH)
    assert words in caught.value.detail
    assert caught.value.hint


def test_what_is_no_language_model_is_refused() -> None:
    nothing = Header({}, {}, {}, (), 0)
    with pytest.raises(ModelFileError, match="names no architecture"):
        metadata.describe(nothing, PATH)
    with pytest.raises(ModelFileError, match="no language model, but 'flux'"):
        metadata.describe(nothing._replace(values={"general.architecture": "flux"}), PATH)
    with pytest.raises(ModelFileError, match="holds no weights"):
        metadata.describe(header()._replace(tensors=()), PATH)
    split = header()
    split.values["split.count"] = 3
    with pytest.raises(ModelFileError, match="split over several files"):
        metadata.describe(split, PATH)
