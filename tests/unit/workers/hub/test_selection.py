"""Of a repository, what a local model needs is fetched, and nothing that could be run."""

from __future__ import annotations

import pytest

from mysticanvas.errors import InvalidRequest, ModelFileError
from mysticanvas.workers.hub.selection import RepoFile, select


def chosen(*names: str, patterns: tuple[str, ...] = ()) -> tuple[set[str], list[str]]:
    files = [RepoFile(name, 1 << 20, name) for name in names]
    selection = select("owner/name", files, patterns)
    return {file.name for file in selection.taken}, selection.left_out


def test_pickles_and_code_are_never_taken() -> None:
    taken, left = chosen(
        "config.json", "vocab.txt", "tokenizer.model", "chat_template.jinja", "model.safetensors",
        "pytorch_model.bin", "model.ckpt", "modeling.py", "README.md", "../up.json", "/etc/x.json",
    )  # fmt: skip
    assert taken == {
        "config.json", "vocab.txt", "tokenizer.model", "chat_template.jinja", "model.safetensors",
    }  # fmt: skip
    assert left == sorted(
        ["pytorch_model.bin", "model.ckpt", "modeling.py", "README.md", "../up.json", "/etc/x.json"]
    )


def test_of_a_pipeline_its_components_are_taken_once() -> None:
    whole = {
        "model_index.json", "unet/config.json", "unet/model-00001-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors", "vae/model.safetensors",
        "te/model.fp16.safetensors",
    }  # fmt: skip
    copies = {
        "v1-5-pruned.safetensors", "unet/model.fp16.safetensors", "unet/model.non_ema.safetensors",
        "vae/model.fp16-00001-of-00002.safetensors", "vae/model.bin",
    }  # fmt: skip
    taken, left = chosen(*whole, *copies)
    assert taken == whole
    assert left == sorted(copies)
    single, _ = chosen(*whole, *copies, patterns=("v1-5*",))
    assert single == {"v1-5-pruned.safetensors"}
    half, _ = chosen(*whole, *copies, patterns=("*fp16*",))
    assert "unet/model.fp16.safetensors" in half
    assert "unet/config.json" in half
    assert "unet/model-00001-of-00002.safetensors" not in half


def test_of_several_language_models_one_has_to_be_named() -> None:
    names = ("a-Q4_K_M.gguf", "a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf")
    with pytest.raises(InvalidRequest, match=r"has 2 models.*a-Q4_K_M\.gguf \(1 MiB\).*files="):
        chosen(*names)
    assert chosen(*names, "config.json", patterns=("*Q4_K_M*",))[0] == {names[0], "config.json"}
    assert chosen(*names[1:], "mmproj-f16.gguf")[0] == {*names[1:], "mmproj-f16.gguf"}
    with pytest.raises(InvalidRequest, match=r"No weights of .* fit \['\*Q2\*'\]"):
        chosen(*names, patterns=("*Q2*",))


def test_a_repository_without_weights_is_refused() -> None:
    with pytest.raises(ModelFileError, match="pickles alone"):
        chosen("config.json", "pytorch_model.bin")
    with pytest.raises(ModelFileError, match="no weights"):
        chosen("README.md")
