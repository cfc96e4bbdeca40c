"""A model is fetched from a hub that breaks off, lies and refuses."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hub as hubs
import pytest
from hub import COMMIT, Hub
from huggingface_hub import constants

from mysticanvas.contracts.pulls import PullNews, PullOrder, PullReport
from mysticanvas.errors import (
    Conflict,
    HubUnavailable,
    ModelFileError,
    MystiCanvasError,
    NotFound,
    PermissionDenied,
    StoreFull,
)
from mysticanvas.locks import FileLock
from mysticanvas.orchestrator import hub as local
from mysticanvas.workers.hub import transfer
from mysticanvas.workers.hub.pull import pull

WEIGHTS = os.urandom(5 << 20)
FILES = {
    "config.json": b'{"a": 1}',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": bytes(100),
    "run.py": b"import os",
}
Pull = Callable[..., PullReport]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hubs.serving(dict(FILES)) as running:
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield running


@pytest.fixture
def fetch(tmp_path: Path) -> Pull:
    """Pulls into an empty cache, and keeps what it tells."""

    def fetch(tell: Callable[[PullNews], None] = lambda _: None, **order: Any) -> PullReport:
        given = {"repo_id": "owner/name", "revision": "main", "pause_s": 0.01, **order}
        return pull(PullOrder(cache=str(tmp_path / "cache"), **given), tell)

    return fetch


def refused(fetch: Pull, kind: type[MystiCanvasError], match: str, **order: Any) -> None:
    with pytest.raises(kind, match=match) as caught:
        fetch(**order)
    assert caught.value.hint or kind is NotFound


def test_a_model_is_fetched_once_and_is_where_everybody_looks(
    hub: Hub, fetch: Pull, tmp_path: Path
) -> None:
    told: list[PullNews] = []
    report = fetch(told.append)
    assert (report.commit, report.files, report.left_out) == (
        COMMIT, 2, ["pytorch_model.bin", "run.py"]
    )  # fmt: skip
    assert report.bytes == report.fetched_bytes == len(WEIGHTS) + len(FILES["config.json"])
    assert (Path(report.path) / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in Path(report.path).iterdir()) == [
        "config.json", "model.safetensors"
    ]  # fmt: skip
    assert [told[0].stage, told[-1].stage] == ["list", "verify"]
    assert told[-1].done == told[-1].total == report.bytes
    for name in ("owner/name", f"owner/name@{COMMIT}"):
        assert local.locate(name, tmp_path / "cache").folder == Path(report.path)
    again = fetch(revision="v1")
    assert (again.fetched_bytes, again.path) == (0, report.path)
    assert local.locate("owner/name@v1", tmp_path / "cache").commit == COMMIT
    assert hub.sent == {"model.safetensors": len(WEIGHTS), "config.json": len(FILES["config.json"])}
    assert not [*(tmp_path / "cache").rglob("*incomplete")]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("commit", "../../outside"),
        ("commit", ""),
        ("commit", "c" * 64),
        ("config.json", "../../../outside"),
        ("config.json", ""),
        ("model.safetensors", "/" + "a" * 63),
        ("model.safetensors", "A" * 64),
    ],
)
def test_a_digest_that_is_none_becomes_no_name_of_a_file(
    hub: Hub, fetch: Pull, tmp_path: Path, name: str, told: str
) -> None:
    hub.told = {name: told}
    refused(fetch, ModelFileError, f"tells {told!r} for the ")
    assert not (tmp_path / "cache").exists()


def test_a_connection_that_breaks_off_is_gone_on_with(hub: Hub, fetch: Pull) -> None:
    hub.breaks_after = [3 << 20]
    fetch()
    # What was on its way, at most a chunk, is all that comes twice.
    assert hub.sent["model.safetensors"] <= len(WEIGHTS) + transfer.CHUNK_BYTES
    [wanted] = hub.ranges
    assert int(wanted.removeprefix("bytes=").rstrip("-")) >= 2 << 20


def test_a_token_is_shown_to_the_hub_alone(hub: Hub, fetch: Pull, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_secret")
    with hubs.serving(dict(FILES)) as elsewhere:
        hub.moved_to = elsewhere.url
        elsewhere.breaks_after = [3 << 20]
        assert (Path(fetch().path) / "model.safetensors").read_bytes() == WEIGHTS
    assert set(hub.authorizations) == {"Bearer hf_secret"}
    assert set(elsewhere.authorizations) == {None}
    assert len(elsewhere.ranges) == 1


def test_what_is_there_of_another_time_counts_by_its_digest(
    hub: Hub, fetch: Pull, tmp_path: Path
) -> None:
    blobs = tmp_path / "cache" / "models--owner--name" / "blobs"
    blobs.mkdir(parents=True)
    partial = blobs / f"{hub.etag('model.safetensors')}{transfer.PARTIAL}"
    partial.write_bytes(WEIGHTS[: 4 << 20])
    assert fetch().fetched_bytes == (1 << 20) + len(FILES["config.json"])
    assert hub.sent["model.safetensors"] == 1 << 20
    for wrong in (bytes(4 << 20), bytes(6 << 20)):
        shutil.rmtree(tmp_path / "cache")
        blobs.mkdir(parents=True)
        partial.write_bytes(wrong)
        assert (Path(fetch().path) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_hub_that_lies_is_not_believed(
    hub: Hub, fetch: Pull, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.told_sizes = {"model.safetensors": len(WEIGHTS) + 10}
    refused(fetch, ModelFileError, "fewer bytes")
    hub.told_sizes = {"model.safetensors": len(WEIGHTS) - 10}
    shutil.rmtree(tmp_path / "cache")
    refused(fetch, ModelFileError, "more bytes")
    hub.told_sizes = {}
    etag = hub.etag("model.safetensors")
    monkeypatch.setattr(Hub, "etag", lambda *_: etag)
    entry = {"size": len(WEIGHTS), "oid": "0" * 40, "lfs": {"oid": "0" * 64, "size": len(WEIGHTS)}}
    monkeypatch.setattr(
        Hub, "entry", lambda _, name: {**entry, "lfs": {**entry["lfs"], "pointerSize": 1}}
    )
    hub.files = {"model.safetensors": WEIGHTS}
    shutil.rmtree(tmp_path / "cache")
    refused(fetch, ModelFileError, "other bytes")
    with pytest.raises(Exception, match="is not in the local cache"):
        local.locate("owner/name", tmp_path / "cache")


def test_a_hub_that_is_busy_is_asked_again_for_a_while(hub: Hub, fetch: Pull) -> None:
    hub.refusals = [(429, {}), (503, {}), (500, {})]
    assert fetch().files == 2
    hub.refusals = [(503, {})] * 6
    refused(fetch, HubUnavailable, r"fails \(503\)")
    assert hub.refusals == []
    hub.refusals = [(429, {})] * 6
    refused(fetch, HubUnavailable, r"too many requests from here \(429\)")


def test_what_there_is_not_and_what_is_not_allowed_is_said(
    hub: Hub, fetch: Pull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(fetch, NotFound, "no repository 'owner/other'.*hf auth login", repo_id="owner/other")
    refused(fetch, NotFound, "no revision 'v9'", revision="v9")
    hub.token = "hf_secret"
    refused(fetch, PermissionDenied, "gated.*Accept them on http.*hf auth login")
    (tmp_path / "token").write_text("hf_secret")
    assert fetch().files == 2
    hub.token = None
    hub.refusals = [(403, {})]
    refused(fetch, PermissionDenied, r"refuses 'owner/name' \(403\).*hf auth login")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(fetch, HubUnavailable, "HF_HUB_OFFLINE.*Unset it")


def test_a_hub_that_is_not_there_is_said(
    hub: Hub, fetch: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(
        fetch, HubUnavailable, r"127\.0\.0\.1:9 cannot be reached: .*refused\. Check the network"
    )


def test_a_disk_without_room_is_said_before(
    hub: Hub, fetch: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=(256 << 20) + 1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        refused(fetch, StoreFull, "takes 5 MiB more, and 256 MiB are free")
    assert hub.sent == {}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "http_get", full)
        refused(fetch, StoreFull, "The disk is full")


def test_two_do_not_write_into_one_file(
    hub: Hub, fetch: Pull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache" / ".locks" / "owner--name"
    folder.mkdir(parents=True)
    other = FileLock(folder / f"mysticanvas-{os.getuid()}.lock")
    assert other.acquire()
    monkeypatch.setattr("mysticanvas.workers.hub.pull._LOCK_S", 0.0)
    refused(fetch, Conflict, "being fetched by another process")
    other.release()
    assert fetch().files == 2
