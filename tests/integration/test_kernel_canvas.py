"""A canvas and its connection: attach, detach, lose the orchestrator, and go on."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from mysticanvas import (
    Canvas,
    Conflict,
    Image,
    InvalidRequest,
    NotFound,
    OrchestratorUnavailable,
    PermissionDenied,
)
from mysticanvas.client.http import ConnectionLost, HttpClient

QUICK = {"num_inference_steps": 2, "seed": 3}


def runtime(home: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((home / "run" / "orchestrator.json").read_text())
    return document


def test_a_bad_argument_starts_nothing(make_home: Callable[[], Path]) -> None:
    home = make_home()
    for bad in (
        {"project": ""},
        {"url": "x"},
        {"url": "http://[::1", "token": "t"},
        {"token": "ключ", "url": "http://127.0.0.1:9"},
        {"keep_alive_s": -1},
        {"keep_alive_s": "900"},
        {"memory_budget_mib": True},
        {"reuse": "yes"},
    ):
        with pytest.raises(InvalidRequest) as refused:
            Canvas(home=home, **bad)
        assert refused.value.parameter == next(iter(bad))
    assert not home.exists()


def test_attaching_loads_only_what_it_needs(shared_home: Path, canvas: Canvas) -> None:
    code = """
import json, sys
from mysticanvas import Canvas
canvas = Canvas(home=sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""
    output = subprocess.check_output([sys.executable, "-c", code, str(shared_home)])
    heavy = {"httpx", "numpy", "PIL", "pandas", "IPython", "mysticanvas.contracts.params"}
    assert not heavy & set(json.loads(output))


def test_an_orchestrator_is_reached_by_its_address(
    canvas: Canvas, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = canvas.generate("x", preset=tiny_sd, **QUICK)
    known = runtime(canvas.home)
    monkeypatch.setenv("MYSTICANVAS_HOME", str(tmp_path / "another"))
    with Canvas(url=known["url"], token=known["token"]) as other:
        assert other.health().pid == known["pid"]
        assert other.home == canvas.home
        assert other.image(image.id).pil() == image.pil()
        assert other.image(image.id).thumbnail(256).size == image.thumbnail(256).size
    (tmp_path / "mounted").symlink_to(canvas.home)
    seen = tmp_path / "mounted"
    with Canvas(seen, url=known["url"], token=known["token"]) as elsewhere:
        assert elsewhere.image(image.id).path.is_relative_to(seen)
        assert elsewhere.image(image.id).pil() == image.pil()
    with Canvas(url=known["url"], token="another") as stranger, pytest.raises(PermissionDenied):
        stranger.health()


def test_an_address_where_nobody_answers_is_named() -> None:
    with (
        Canvas(url="http://127.0.0.1:9", token="t") as canvas,
        pytest.raises(OrchestratorUnavailable, match=r"http://127\.0\.0\.1:9"),
    ):
        canvas.health()


def test_a_closed_canvas_says_so_and_the_others_go_on(canvas: Canvas) -> None:
    with Canvas(home=canvas.home) as other:
        assert other.health().pid == canvas.health().pid
    with pytest.raises(OrchestratorUnavailable, match="closed"):
        other.health()
    assert canvas.health().state in ("ready", "busy")


def test_a_canvas_that_nobody_holds_leaves_no_thread(canvas: Canvas) -> None:
    other = Canvas(home=canvas.home)
    connection = weakref.ref(other._connection)
    assert other._connection._stream.wait_connected(60)
    thread = other._connection._stream._thread
    del other
    gc.collect()
    assert connection() is None
    thread.join(60)
    assert not thread.is_alive()


def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    canvas: Canvas, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = HttpClient.request
    answers: list[Any] = []

    def lossy(self: HttpClient, method: str, path: str, **rest: Any) -> Any:
        answer = request(self, method, path, **rest)
        if (method, path) == ("POST", "/v1/jobs"):
            answers.append(json.loads(answer)["id"])
            if len(answers) == 1:
                raise ConnectionLost("the answer got lost")
        return answer

    monkeypatch.setattr(HttpClient, "request", lossy)
    image = canvas.generate("x", preset=tiny_sd, **QUICK)
    assert answers == [image.job_id] * 2
    assert canvas.images().total == 1


def test_a_killed_orchestrator_is_replaced_between_and_during_calls(
    home: Path, tiny_sd: Path
) -> None:
    with Canvas(home=home) as canvas:
        first = canvas.generate("x", preset=tiny_sd, **QUICK)
        pid = canvas.health().pid
        os.kill(pid, signal.SIGKILL)
        assert canvas.images()[0] == first
        assert canvas.health().pid != pid
        job = canvas.submit("y", preset=tiny_sd, num_inference_steps=300)
        os.kill(canvas.health().pid, signal.SIGKILL)
        assert job.result(timeout=240).prompt == "y"
        assert [image.prompt for image in canvas.images()] == ["y", "x"]
        canvas.shutdown()
        canvas.shutdown()


def test_a_shutdown_is_refused_while_another_kernel_listens(home: Path) -> None:
    code = """
import sys
from mysticanvas import Canvas
with Canvas(home=sys.argv[1]) as canvas:
    assert canvas._connection._stream.wait_connected(60)
    print("listening", flush=True)
    sys.stdin.readline()
"""
    with Canvas(home=home) as canvas, Canvas(home=home, project="mine too"):
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout.readline() == "listening\n"
        with pytest.raises(Conflict, match=str(other.pid)):
            canvas.shutdown()
        assert canvas.health().state in ("ready", "busy")
        other.communicate("done\n", timeout=60)
        canvas.shutdown()


def test_threads_share_a_canvas(canvas: Canvas, tiny_sd: Path) -> None:
    images: list[Image] = []

    def work(k: int) -> None:
        images.append(canvas.generate(f"picture {k}", preset=tiny_sd, **QUICK))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(image.prompt for image in images) == [f"picture {k}" for k in range(6)]
    assert canvas.images().total == 6


def test_projects_see_their_own_pictures_and_a_canvas_without_one_sees_all(
    canvas: Canvas, tiny_sd: Path
) -> None:
    image = canvas.generate("mine", preset=tiny_sd, **QUICK)
    assert image.project == canvas.project
    with Canvas(home=canvas.home) as everything, Canvas(home=canvas.home, project="?") as other:
        assert other.images().total == 0
        assert image in everything.images(limit=10)
        assert everything.images(project=canvas.project).total == 1
        assert other.image(image.id[-8:]) == image


def test_pages_turn_and_belong_to_their_query(canvas: Canvas, tiny_sd: Path) -> None:
    batch = canvas.generate("x", preset=tiny_sd, num_images=3, **QUICK)
    page = canvas.images(limit=2)
    assert [*page, *page.next()] == list(reversed(batch))
    assert canvas.images(job=batch[0].job_id).total == 3
    with pytest.raises(InvalidRequest, match="cursor"):
        canvas.images(limit=2, cursor=page.next_cursor, project="another")
    with pytest.raises(InvalidRequest, match="cursor"):
        canvas.images(cursor="nonsense")


def test_what_is_not_there_is_not_found(canvas: Canvas) -> None:
    for find in (canvas.image, canvas.job):
        with pytest.raises(NotFound):
            find("ffffffff")
        with pytest.raises(NotFound):
            find("../../etc/passwd")


def test_reuse_can_be_the_canvas_own_habit(canvas: Canvas, tiny_sd: Path) -> None:
    with Canvas(home=canvas.home, project=canvas.project, reuse=True) as thrifty:
        first = thrifty.generate("x", preset=tiny_sd, num_inference_steps=2)
        again = thrifty.generate("x", preset=tiny_sd, num_inference_steps=2)
        fresh = thrifty.generate("x", preset=tiny_sd, num_inference_steps=2, reuse=False)
    assert (first.reused, again.reused, fresh.reused) == (False, True, False)
    assert again == first
    assert fresh != first
    mine = canvas.image(first.id)
    assert mine.refresh() is mine


def test_a_saved_file_is_reproduced_in_another_home(
    canvas: Canvas, home: Path, tiny_sd: Path, tmp_path: Path
) -> None:
    image = canvas.generate("x", preset=tiny_sd, **QUICK)
    copy = image.save(tmp_path / "copy.png")
    edited = tmp_path / "edited.png"
    chunks = PIL.PngImagePlugin.PngInfo()
    with PIL.Image.open(copy) as opened:
        for keyword, text in opened.info.items():
            chunks.add_text(keyword, text)
        opened.putpixel((0, 0), tuple(255 - level for level in opened.getpixel((0, 0))))
        opened.save(edited, pnginfo=chunks)
    with Canvas(home=home) as elsewhere:
        elsewhere.generate("makes the preset known", preset=tiny_sd, **QUICK)
        same = elsewhere.reproduce(copy)
        assert same.matches
        assert same.image.path == copy
        assert elsewhere.images().total == 1
        other = elsewhere.reproduce(str(edited))
        assert other.matches is False
        assert other.max_abs_diff > 0
        assert [difference.what for difference in other.differences] == ["pixels of the file"]
        assert np.array_equal(other.image.numpy(), image.numpy())
        assert other.image.parent is None
        elsewhere.shutdown()


def test_a_recipe_of_no_picture_is_made_and_compared_with_nothing(
    canvas: Canvas, tiny_sd: Path
) -> None:
    recipe = canvas.generate("x", preset=tiny_sd, **QUICK).recipe
    params = recipe.params.model_copy(update={"seed": 99})
    result = canvas.reproduce(recipe.model_copy(update={"params": params}))
    assert result.matches is None
    assert result.image.seed == 99
    assert canvas.images().total == 2


def test_a_callback_that_cannot_be_called_is_refused(canvas: Canvas) -> None:
    callback: Any = 5
    with pytest.raises(InvalidRequest, match="callback=5"):
        canvas.on("job", callback)


def test_a_missing_file_hides_no_other_picture_of_a_page(canvas: Canvas, tiny_sd: Path) -> None:
    batch = canvas.generate("x", preset=tiny_sd, num_images=2, **QUICK)
    whole = batch._repr_png_()
    batch[0].path.unlink()
    assert batch._repr_png_() not in (None, whole)
    for shown in (canvas.images(), canvas.images):
        assert batch[1].id[-8:] in shown._repr_html_()


def test_what_the_canvas_tells_about_itself(canvas: Canvas) -> None:
    assert "euler_a" in canvas.schedulers
    assert "DDIMScheduler" in canvas.schedulers
    worker = canvas.workers["image"]
    assert worker.kind == "image"
    assert canvas.health().pid == runtime(canvas.home)["pid"]
    assert repr(canvas) == f"<Canvas project={canvas.project!r}>"
