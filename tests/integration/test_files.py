"""Files of pictures on real processes: thumbnails, deleting, quota, prune and the doctor."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from http_client import client
from support import processes_of

from mysticanvas import Canvas, NotFound, StoreDamaged, StoreFull
from mysticanvas.contracts import thumbnails

QUICK = {"num_inference_steps": 2, "seed": 3}


def mysticanvas(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mysticanvas", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)


@pytest.fixture
def http(canvas: Canvas) -> Iterator[httpx.Client]:
    canvas.health()
    runtime = json.loads((canvas.home / "run" / "orchestrator.json").read_text())
    with client(runtime["url"], runtime["token"]) as stranger:
        yield stranger


def test_a_thumbnail_is_made_on_demand(canvas: Canvas, http: httpx.Client, tiny_sd: Path) -> None:
    image = canvas.generate("x", preset=tiny_sd, **QUICK)
    path = canvas.home / thumbnails.path(image.id, 256)
    assert not path.exists()
    assert image.thumbnail().size == (64, 64)
    answer = http.get(f"/v1/images/{image.id}/thumbnail", params={"size": 256})
    assert answer.headers["content-type"] == "image/webp"
    assert answer.content == path.read_bytes()
    refused = http.get(f"/v1/images/{image.id}/thumbnail", params={"size": 1})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_a_deleted_picture_is_gone_and_comes_back(canvas: Canvas, tiny_sd: Path) -> None:
    first = canvas.generate("x", preset=tiny_sd, **QUICK)
    second = canvas.generate("y", preset=tiny_sd, **QUICK)
    first.delete()
    first.delete()
    assert [*canvas.images()] == [second]
    with pytest.raises(NotFound):
        canvas.image(first.id)
    with Canvas(home=canvas.home) as other:
        assert len(other.job(first.job_id).result()) == 0
    assert first.thumbnail().size == (64, 64)
    assert first.restore() == first
    assert canvas.images().total == 2


def test_a_quota_is_named_and_prune_makes_room(
    home_with_pictures: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_with_pictures
    monkeypatch.setenv("MYSTICANVAS_DISK_QUOTA_MIB", "1")
    with Canvas(home=home) as canvas:
        paths = [image.path for image in canvas.images()]
        with pytest.raises(StoreFull, match=r"quota of 1 MiB.*mysticanvas prune"):
            canvas.generate("x", preset=tiny_sd, width=1024, height=1024, **QUICK)
        said = mysticanvas("prune", "--home", str(home), "--older-than", "0d")
        assert said.stdout.startswith("3 pictures would go")
        assert canvas.images().total == 3
        done = mysticanvas("prune", "--home", str(home), "--older-than", "0d", "--yes")
        assert done.stdout.startswith("3 pictures went")
        assert canvas.images().total == 0
        assert not any(path.exists() for path in paths)
        canvas.shutdown()


def test_the_doctor_looks_whether_the_orchestrator_runs_or_not(
    home_with_pictures: Path, tmp_path: Path
) -> None:
    home = home_with_pictures
    nothing = mysticanvas("doctor", "--home", str(tmp_path / "home"))
    assert (nothing.returncode, "does not exist yet" in nothing.stdout) == (0, True)
    with Canvas(home=home) as canvas:
        image = canvas.images().items[0]
        assert mysticanvas("doctor", "--home", str(home)).returncode == 0
        image.path.rename(image.path.with_suffix(".away"))
        sick = mysticanvas("doctor", "--home", str(home), "--json")
        states = {each["check"]: each["state"] for each in json.loads(sick.stdout)["findings"]}
        assert sick.returncode == 3
        assert states["pictures without a file"] == "problem"
        canvas.shutdown()
    assert processes_of(home) == []
    assert mysticanvas("doctor", "--home", str(home)).returncode == 3
    mended = mysticanvas("doctor", "--home", str(home), "--repair")
    assert mended.returncode == 0
    assert "+ pictures without a file" in mended.stdout
    assert mysticanvas("doctor", "--home", str(home)).returncode == 0

    database = home / "mysticanvas.duckdb"
    content = database.read_bytes()
    database.write_bytes(content[:100])
    broken = mysticanvas("doctor", "--home", str(home))
    assert broken.returncode == 3
    assert "× store:" in broken.stdout
    assert database.read_bytes() == content[:100]
    for lose in (lambda: database.write_bytes(b""), database.unlink):
        lose()
        lost = mysticanvas("doctor", "--home", str(home))
        assert lost.returncode == 3
        assert "restore --from-images" in lost.stdout
        with pytest.raises(StoreDamaged, match="it held 3 pictures"):
            Canvas(home=home)
    assert not database.exists()
    anew = mysticanvas("restore", "--from-images", "--home", str(home))
    assert "Read back from image files: 2 pictures" in anew.stdout, anew
    assert "✓ store:" in mysticanvas("doctor", "--home", str(home)).stdout
