"""Which files of a folder are loaded, and that no others can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mysticanvas import model_folders
from mysticanvas.errors import ModelFileError

DIFFUSERS = "diffusion_pytorch_model"


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"")


def index(folder: Path, file: str, *names: object) -> None:
    weight_map = {f"w{number}": name for number, name in enumerate(names)}
    (folder / file).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def loaded(folder: Path, library: str, variant: str | None = None) -> list[str]:
    return [path.name for path in model_folders.weights(folder, library, variant)]


def test_other_files_than_the_librarys_own_are_not_loaded(tmp_path: Path) -> None:
    files(tmp_path, "a.safetensors", "model.safetensors", f"{DIFFUSERS}.safetensors")
    assert loaded(tmp_path, "transformers") == ["model.safetensors"]
    assert loaded(tmp_path, "stable_diffusion") == ["model.safetensors"]
    assert loaded(tmp_path, "diffusers") == [f"{DIFFUSERS}.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    assert loaded(tmp_path, "transformers") == []


def test_a_variant_is_taken_where_there_is_one(tmp_path: Path) -> None:
    files(tmp_path, "model.safetensors", "model.fp16.safetensors")
    assert loaded(tmp_path, "transformers", "fp16") == ["model.fp16.safetensors"]
    assert loaded(tmp_path, "transformers", "bf16") == ["model.safetensors"]


def test_weights_in_parts_are_those_that_the_index_names(tmp_path: Path) -> None:
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    files(tmp_path, *parts, "model-00003-of-00003.safetensors", "model.bf16.safetensors")
    index(tmp_path, "model.safetensors.index.json", *parts, parts[0])
    assert loaded(tmp_path, "transformers") == parts
    # As when a model was fetched without its copies in another format.
    index(tmp_path, "model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors")
    model_folders.check(tmp_path)
    assert loaded(tmp_path, "transformers") == parts
    with pytest.raises(ModelFileError, match=r"names 'model\.fp16-00001.*is not there"):
        loaded(tmp_path, "transformers", "fp16")
    assert loaded(tmp_path, "transformers", "bf16") == ["model.bf16.safetensors"]


def test_each_library_has_its_own_order_of_file_and_index(tmp_path: Path) -> None:
    for stem in ("model", DIFFUSERS):
        files(tmp_path, f"{stem}.safetensors", f"{stem}-1.safetensors")
        index(tmp_path, f"{stem}.safetensors.index.json", f"{stem}-1.safetensors")
    assert loaded(tmp_path, "transformers") == ["model.safetensors"]
    assert loaded(tmp_path, "diffusers") == [f"{DIFFUSERS}-1.safetensors"]


@pytest.mark.parametrize("name", ["evil.bin", "evil.pt", "../evil.ckpt"])
def test_an_index_that_names_a_pickle_says_how_to_convert_it(tmp_path: Path, name: str) -> None:
    files(tmp_path, "a.safetensors", "evil.bin")
    index(tmp_path, "model.safetensors.index.json", "a.safetensors", name)
    for use in (model_folders.check, lambda folder: loaded(folder, "transformers")):
        with pytest.raises(ModelFileError, match="a pickle, which can run any code") as caught:
            use(tmp_path)
        assert "save_pretrained" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    ["../a.safetensors", "/a.safetensors", "b/a.safetensors", ".a.safetensors", "a\\b.safetensors",
     "a.txt", "", 3, None, ["a.safetensors"]],
)  # fmt: skip
def test_an_index_names_files_beside_it_alone(tmp_path: Path, name: object) -> None:
    files(tmp_path, "model.safetensors")
    index(tmp_path, "other.safetensors.index.fp16.json", name)
    with pytest.raises(ModelFileError, match=r"other.*which is no \.safetensors file beside it"):
        model_folders.check(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', "[" * 100_000])
def test_a_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"model\.safetensors\.index\.json"):
        model_folders.check(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"transformers_weights": "a.safetensors"},
        {"text_config": {"transformers_weights": "../a.safetensors"}},
    ],
)
def test_a_configuration_that_names_other_weights_is_refused(
    tmp_path: Path, config: dict[str, object]
) -> None:
    files(tmp_path, "model.safetensors", "a.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match="names the file of its weights itself"):
        model_folders.check(tmp_path)


@pytest.mark.parametrize(
    ("folder", "place"), [("a/unet", ".safetensors.fp16"), ("a.b/unet", ".fp16.safetensors")]
)
def test_an_old_index_of_a_variant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    part = Path(folder)
    part.mkdir(parents=True)
    files(part, f"{DIFFUSERS}.fp16.safetensors", "evil.bin")
    assert loaded(part, "diffusers", "fp16") == [f"{DIFFUSERS}.fp16.safetensors"]
    index(part, f"{DIFFUSERS}{place}.index.json", f"{DIFFUSERS}.fp16.safetensors")
    with pytest.raises(ModelFileError, match="as an old version of diffusers did"):
        loaded(part, "diffusers", "fp16")
    assert loaded(part, "diffusers") == []


def test_an_old_index_in_another_folder_is_refused_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    part, other = Path("a.b.c/unet"), Path("a.b.fp16.c/unet")
    for each in (part, other):
        each.mkdir(parents=True)
    files(part, f"{DIFFUSERS}.fp16.safetensors", "evil.bin")
    index(other, f"{DIFFUSERS}.safetensors.index.json", "evil.bin")
    with pytest.raises(ModelFileError, match=r"a\.b\.fp16\.c/.* as an old version"):
        loaded(part, "diffusers", "fp16")
