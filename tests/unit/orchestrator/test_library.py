"""Models of other programs, found where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mysticanvas.errors import PresetError
from mysticanvas.orchestrator import hub, library

COMMIT = "a" * 40


def make(base: Path, *names: str, size: int = 3) -> None:
    for name in names:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(bytes(size))


def found(base: Path) -> dict[str, tuple[str, str]]:
    return {
        str(Path(model.path).relative_to(base)): (model.kind, model.layout)
        for model in library.find(base, "here")
    }


def test_comfyui_and_a1111_have_a_folder_a_kind(tmp_path: Path) -> None:
    make(
        tmp_path,
        "models/checkpoints/sub/juggernaut.safetensors",
        "models/diffusion_models/flux.gguf",
        "models/text_encoders/t5xxl.safetensors",
        "models/Stable-diffusion/v1-5.safetensors",
        "models/Lora/ink.safetensors",
        "models/Stable-diffusion/v1-5.vae.safetensors",
        "models/VAE/mse.safetensors",
        "models/checkpoints/notes.txt",
        "models/checkpoints/small.pt",
    )
    make(tmp_path, "models/checkpoints/old.ckpt", size=1 << 20)
    assert found(tmp_path) == {
        "models/Lora/ink.safetensors": ("lora", "safetensors"),
        "models/Stable-diffusion/v1-5.safetensors": ("image", "safetensors"),
        "models/Stable-diffusion/v1-5.vae.safetensors": ("vae", "safetensors"),
        "models/VAE/mse.safetensors": ("vae", "safetensors"),
        "models/checkpoints/old.ckpt": ("image", "pickle"),
        "models/checkpoints/sub/juggernaut.safetensors": ("image", "safetensors"),
        "models/diffusion_models/flux.gguf": ("image", "gguf"),
        "models/text_encoders/t5xxl.safetensors": ("clip", "safetensors"),
    }


def test_the_added_folder_itself_may_tell_the_kind(tmp_path: Path) -> None:
    make(tmp_path / "loras", "ink.safetensors")
    assert found(tmp_path / "loras") == {"ink.safetensors": ("lora", "safetensors")}


def test_invokeai_and_lm_studio(tmp_path: Path) -> None:
    make(
        tmp_path,
        "sdxl/main/dream/model_index.json",
        "sdxl/main/dream/unet/diffusion_pytorch_model.safetensors",
        "sdxl/lora/ink.safetensors",
        "publisher/Qwen3-4B-GGUF/qwen3-4b-q4.gguf",
        "publisher/Qwen3-4B-GGUF/mmproj-f16.gguf",
    )
    assert found(tmp_path) == {
        "sdxl/main/dream": ("image", "diffusers"),
        "sdxl/lora/ink.safetensors": ("lora", "safetensors"),
        "publisher/Qwen3-4B-GGUF/qwen3-4b-q4.gguf": ("llm", "gguf"),
        "publisher/Qwen3-4B-GGUF/mmproj-f16.gguf": ("llm", "gguf"),
    }
    [folder] = [each for each in library.find(tmp_path, "here") if each.layout == "diffusers"]
    assert (folder.name, folder.size, folder.source) == ("dream", 6, "here")


def test_links_that_lead_in_circles_or_nowhere_end(tmp_path: Path) -> None:
    make(tmp_path, "loras/ink.safetensors")
    (tmp_path / "loras" / "again").symlink_to(tmp_path)
    (tmp_path / "loras" / "gone.safetensors").symlink_to(tmp_path / "nothing")
    (tmp_path / "loras" / "same.safetensors").symlink_to(tmp_path / "loras" / "ink.safetensors")
    assert list(found(tmp_path)) == ["loras/ink.safetensors", "loras/same.safetensors"]


def test_kinds_may_be_links_to_other_disks(tmp_path: Path) -> None:
    disk, models = tmp_path / "disk", tmp_path / "models"
    make(disk / "big", "sub/dream.safetensors", "unet/model_index.json", "unet/a.safetensors")
    make(models, "loras/ink.safetensors", "zoo/.hidden/secret.gguf")
    (models / "checkpoints").symlink_to(disk / "big")
    # What is here already, by whatever path, is listed by its own; circles end.
    (models / "again").symlink_to(models / "loras")
    (models / "zoo" / "more").symlink_to(disk / "big" / "sub")
    (disk / "big" / "up").symlink_to(tmp_path)
    # None of these hides the rest.
    (models / "gone").symlink_to(tmp_path / "nothing")
    (models / "itself").symlink_to("itself")
    (models / "a-file").symlink_to(models / "loras" / "ink.safetensors")
    assert found(models) == {
        "loras/ink.safetensors": ("lora", "safetensors"),
        "checkpoints/sub/dream.safetensors": ("image", "safetensors"),
        "checkpoints/unet": ("image", "diffusers"),
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is shut to root")
def test_a_folder_that_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, "dream/model_index.json", "dream/vae/a.safetensors", "loras/ink.safetensors")
    make(tmp_path, "checkpoints/a.safetensors")
    shut = [tmp_path / "dream" / "vae", tmp_path / "checkpoints"]
    for each in shut:
        each.chmod(0o400)
    try:
        assert {"dream", "loras/ink.safetensors"} <= found(tmp_path).keys()
    finally:
        for each in shut:
            each.chmod(0o700)


def test_a_link_to_very_much_hides_nothing_that_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "disk", *(f"{number}.gguf" for number in range(20)))
    make(tmp_path / "models", "zoo/ink.safetensors")
    (tmp_path / "models" / "all").symlink_to(tmp_path / "disk")
    monkeypatch.setattr(library, "MAX_ENTRIES", 10)
    assert list(found(tmp_path / "models")) == ["zoo/ink.safetensors"]


def test_a_walk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *(f"{'d/' * depth}a.gguf" for depth in (1, 8, 9)))
    assert len(found(tmp_path)) == 2
    monkeypatch.setattr(library, "MAX_ENTRIES", 2)
    assert found(tmp_path) == {}


def cached(cache: Path) -> Path:
    repository = cache / "models--owner--name"
    make(
        repository / "snapshots" / COMMIT,
        "model_index.json",
        "unet/diffusion_pytorch_model.safetensors",
    )
    make(repository / "snapshots" / ("b" * 40), "model_index.json")
    make(cache / "models--other--llm" / "snapshots" / COMMIT, "q4.gguf", "q8.gguf")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT


def test_the_cache_of_the_hub(tmp_path: Path) -> None:
    snapshot = cached(tmp_path)
    models = list(library.find_in_hub(tmp_path))
    assert [model.name for model in models] == ["other/llm: q4", "other/llm: q8", "owner/name"]
    assert models[-1].path == str(snapshot)
    assert {model.source for model in models} == {"hub"}


def test_a_hub_id_means_a_pinned_revision(tmp_path: Path) -> None:
    snapshot = cached(tmp_path)
    for hub_id in ("owner/name", f"owner/name@{COMMIT}"):
        located = hub.locate(hub_id, tmp_path)
        assert (located.folder, located.pinned) == (snapshot, f"owner/name@{COMMIT}")
    for hub_id in ("owner/name@v2", "nobody/name"):
        with pytest.raises(PresetError, match="not in the local cache") as refused:
            hub.locate(hub_id, tmp_path)
        assert f"canvas.models.pull({hub_id!r})" in refused.value.hint


@pytest.mark.parametrize("text", ["/a/b", "a", "a/b/c", "../b", "a/..", "a/b@../c", "~/b", "a b/c"])
def test_what_is_no_hub_id(text: str) -> None:
    assert not hub.is_id(text)


def test_one_name_is_found_without_a_look_at_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *(f"loras/{number}.safetensors" for number in range(20)))
    make(tmp_path, "loras/ink.safetensors", "loras/ink.v2.safetensors", "loras/sub/ink.gguf")
    make(tmp_path, "ink/model_index.json", "dream/model_index.json")
    looked: list[str] = []
    real = library._size
    monkeypatch.setattr(library, "_size", lambda path: looked.append(path.name) or real(path))
    models = list(library.find(tmp_path, "here", "ink"))
    assert [Path(each.path).name for each in models] == ["ink", "ink.safetensors", "ink.gguf"]
    assert sorted(looked) == [
        "ink.gguf", "ink.safetensors", "ink.v2.safetensors", "model_index.json",
    ]  # fmt: skip
