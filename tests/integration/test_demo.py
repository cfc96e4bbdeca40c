"""The tour of the command line, as a newcomer takes it."""

import html
import re
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest
from support import processes_of

from mysticanvas import Canvas, ImagePreset, demo


def test_the_tour_says_what_it_does_and_leaves_a_page_of_pictures(
    home: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "mysticanvas", "demo", "--home", home, "--output", tmp_path]
    tour = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tour.returncode == 0, tour.stderr
    ready, *made, stored, searched, again, planned, last = tour.stdout.splitlines()
    assert re.fullmatch(rf"Canvas ready after \d+\.\d s; home: {re.escape(str(home))}", ready)
    assert [line.split(" s  ")[1] for line in made] == list(demo.PROMPTS)
    assert stored == f"The store has {len(demo.PROMPTS)} pictures of this project."
    best = "a big yellow star on a purple background"
    assert searched == f"A search for 'star -striped' finds 1 of them, the best: {best!r}."
    assert again == "The first one made again: the same pixels."
    assert re.fullmatch(r"The plan for 1024×1024 px: [\d,]+ MiB needed.*\.", planned)
    assert last == f"The pictures: {tmp_path / 'index.html'}"

    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == len(demo.PROMPTS)
    assert all(html.escape(prompt) in page for prompt in demo.PROMPTS)
    with PIL.Image.open(tmp_path / "pictures.png") as together:
        assert together.width > 3 * 128
    assert processes_of(home) == []


def test_the_tour_stops_no_orchestrator_that_others_have_started_or_left_jobs_to(
    home: Path, tmp_path: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PROMPTS", demo.PROMPTS[1:2])
    with Canvas(home=home, project="mine") as canvas:
        canvas.presets.image.save(ImagePreset(name="other", model=str(tiny_sd)))
        canvas.presets.image.default = "other"
        before = [process.pid for process in processes_of(home)]
    # Nobody uses it any more, so that a shutdown would be allowed.
    demo.run(home, tmp_path)
    assert set(before) <= {process.pid for process in processes_of(home)}
    with Canvas(home=home, project="mine") as canvas:
        assert [image.recipe.preset for image in canvas.images(project="demo")] == ["starter"]
        canvas.jobs.pause()
        job = canvas.submit("x")
        assert demo._has_jobs(home)
        job.cancel()
        assert not demo._has_jobs(home)
        canvas.shutdown()
