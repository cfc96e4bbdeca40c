"""The memory of a model leaves the worker when it is asked for, and when nobody uses it."""

from __future__ import annotations

import queue
import time
from pathlib import Path
from typing import Any

import models
import pytest

from mysticanvas import Canvas, DoesNotFit
from mysticanvas.contracts.health import WorkerStatus

KEEP_ALIVE_S = 0.5
WAIT_S = 150
MOST = 0.8
"""Of the weights: a library may keep buffers of its own from the first load on."""


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can be seen in the memory of a process."""
    return models.make_sd(tmp_path_factory.mktemp("heavy") / "sd", width=768)


@pytest.fixture(scope="module")
def weights_mib(heavy: Path) -> float:
    return sum(file.stat().st_size for file in heavy.rglob("*.safetensors")) / 2**20


def small(preset: Path) -> dict[str, Any]:
    return {"preset": preset, "num_inference_steps": 2, "seed": 1}


def assert_given_back(before: WorkerStatus, after: WorkerStatus, weights_mib: float) -> None:
    """Between the two, a process that lives on has let go of its model."""
    assert (after.pid, after.restarts) == (before.pid, before.restarts)
    assert before.model
    assert after.model is None
    assert before.memory - after.memory > MOST * weights_mib


def assert_loaded_again(before: WorkerStatus, after: WorkerStatus, weights_mib: float) -> None:
    assert after.model
    assert after.pid == before.pid
    assert after.memory - before.memory > MOST * weights_mib


def test_unload_gives_it_back_and_the_next_job_loads_again(
    canvas: Canvas, heavy: Path, weights_mib: float
) -> None:
    first = canvas.generate("x", **small(heavy))
    for _ in range(2):
        loaded = canvas.workers["image"]
        canvas.unload()
        unloaded = canvas.workers["image"]
        assert_given_back(loaded, unloaded, weights_mib)
        again = canvas.generate("x", **small(heavy))
        assert again.pixels_sha256 == first.pixels_sha256
        assert_loaded_again(unloaded, canvas.workers["image"], weights_mib)


def test_a_model_that_nobody_uses_leaves_by_itself_and_the_next_job_loads_again(
    home: Path, heavy: Path, weights_mib: float
) -> None:
    heard: queue.SimpleQueue[WorkerStatus] = queue.SimpleQueue()

    def until(loaded: bool) -> WorkerStatus:
        """The next news of a worker at rest that has a model, or has none."""
        while True:
            status = heard.get(timeout=WAIT_S)
            if status.state == "ready" and (status.model is not None) is loaded:
                return status

    with Canvas(home=home, keep_alive_s=KEEP_ALIVE_S) as canvas, canvas.on("worker", heard.put):
        first = canvas.generate("x", **small(heavy))
        loaded = until(loaded=True)
        unloaded = until(loaded=False)
        # What is told is as it was at that moment, so no load that follows can blur it.
        assert_given_back(loaded, unloaded, weights_mib)
        again = canvas.generate("x", **small(heavy))
        assert again.pixels_sha256 == first.pixels_sha256
        assert_loaded_again(unloaded, until(loaded=True), weights_mib)
        until(loaded=False)
        name = first.recipe.preset
        canvas.pin(name)
        canvas.generate("x", **small(heavy))
        until(loaded=True)
        with pytest.raises(DoesNotFit, match=f"{name!r} is pinned and in the way"):
            canvas.generate("x", num_inference_steps=1)
        time.sleep(3 * KEEP_ALIVE_S)
        assert canvas.workers["image"].preset == name
        canvas.unload(name)
        assert canvas.generate("x", num_inference_steps=1).recipe.preset == "starter"
        canvas.shutdown()
