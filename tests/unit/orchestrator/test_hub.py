"""Models of the hub that are in its cache, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas.contracts.pulls import PullParams
from mysticanvas.errors import InvalidRequest, PresetError
from mysticanvas.orchestrator import hub, pulling

COMMIT = "c" * 40


def cached(cache: Path, *names: str) -> Path:
    """A repository `owner/name` in a cache, with files as the hub's library lays them out."""
    base = cache / "models--owner--name"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text(COMMIT)
    (base / "blobs").mkdir()
    snapshot = base / "snapshots" / COMMIT
    for number, name in enumerate(names):
        (base / "blobs" / str(number)).write_bytes(b"GGUF")
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(base / "blobs" / str(number))
    return snapshot


def test_the_one_file_of_a_repository_is_pinned(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, "sub/a-Q4_K_M.gguf", "mmproj-F16.gguf", "config.json")
    found = hub.locate_gguf("owner/name", tmp_path)
    assert found.pinned == f"owner/name@{COMMIT}:sub/a-Q4_K_M.gguf"
    assert found.path == snapshot / "sub" / "a-Q4_K_M.gguf"
    assert hub.locate_gguf(found.pinned, tmp_path) == found
    assert hub.is_gguf_id(found.pinned)


def test_of_several_files_one_is_named(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, "a-Q4_K_M.gguf", "a-Q8_0.gguf")
    with pytest.raises(PresetError, match=r"has 2 \.gguf files") as caught:
        hub.locate_gguf("owner/name@main", tmp_path)
    assert "there are: a-Q4_K_M.gguf, a-Q8_0.gguf." in str(caught.value)
    assert "model='owner/name@main:a-Q4_K_M.gguf'" in caught.value.hint
    named = hub.locate_gguf("owner/name:a-Q8_0.gguf", tmp_path)
    assert named.path == snapshot / "a-Q8_0.gguf"
    for other in ("b.gguf", "../../refs/main", str(snapshot / "a-Q8_0.gguf")):
        with pytest.raises(PresetError, match="has no file .* there are: a-Q4_K_M"):
            hub.locate_gguf(f"owner/name:{other}", tmp_path)


def test_what_is_not_in_the_cache_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=r"models\.pull\('nobody/none'\)"):
        hub.locate_gguf("nobody/none", tmp_path)
    cached(tmp_path, "model.safetensors")
    with pytest.raises(PresetError, match=r"no \.gguf file.*pull\('owner/name', files="):
        hub.locate_gguf("owner/name", tmp_path)


@pytest.mark.parametrize("revision", ["/etc", "a/../../b", "..", "../main"])
def test_a_revision_stays_within_the_cache(revision: str) -> None:
    assert not hub.is_id(f"owner/name@{revision}")
    assert hub.is_id("owner/name@refs/pr/1")
    for params in (
        PullParams(repo_id="owner/name", revision=revision),
        PullParams(repo_id=f"owner/name@{revision}"),
    ):
        with pytest.raises(InvalidRequest):
            pulling.check(params)


def test_a_path_is_no_hub_id() -> None:
    for path in ("/a/b.gguf", "/a/b:c.gguf", "a/b/c", "owner/..:x.gguf"):
        assert not hub.is_gguf_id(path)
    assert hub.gguf("/a/b.gguf") == Path("/a/b.gguf")
