"""What jobs took of the memory, from the worker that measures it to the table in a notebook."""

from __future__ import annotations

import queue
from pathlib import Path

import pandas as pd
import pytest

from mysticanvas import Canvas
from mysticanvas.contracts.measurements import JobMemory

PHASES = ("text_encode", "denoise", "vae_decode")
NEAR = 0.03
"""Share that the prediction of a phase may be off by."""


def test_a_picture_of_the_starter_is_as_predicted_in_every_phase(home: Path) -> None:
    heard: queue.SimpleQueue[JobMemory] = queue.SimpleQueue()
    with Canvas(home=home) as canvas:
        empty = canvas.vram.history()
        assert (len(empty), "projected_mib" in empty.columns) == (0, True)
        assert canvas.vram.accuracy().empty
        canvas.plan("a red circle")
        with canvas.on("vram", heard.put):
            job = canvas.submit("a red circle", num_inference_steps=4)
            image = job.result()
            [row] = canvas.vram.history().to_dict("records")
            assert heard.get(timeout=60).job_id == row["job"] == job.id
        assert row["preset"] == image.recipe.preset
        for phase in PHASES:
            taken = row[f"{phase}_actual_mib"]
            assert taken > 0
            assert row[f"{phase}_projected_mib"] == pytest.approx(taken, rel=NEAR)
        assert row["projected_mib"] == pytest.approx(row["actual_mib"], rel=NEAR)
        assert row["actual_mib"] > max(row[f"{phase}_actual_mib"] for phase in PHASES)
        assert row["seconds"] > 0
        canvas.generate("a blue square", num_inference_steps=4)
        phases = canvas.vram.history(by="phase")
        assert list(phases["phase"]) == [*PHASES, *PHASES]
        first, second = phases[:3], phases[3:]
        assert list(second["actual_mib"]) == list(first["actual_mib"])
        found = canvas.vram.accuracy().to_dict("records")
        assert [each["phases"] for each in found] == [6, 6]
        assert pd.isna(found[0]["preset"])
        assert found[1]["preset"] == image.recipe.preset
        assert 0 <= found[0]["mean"] <= abs(found[0]["worst"]) < NEAR
        canvas.shutdown()

    with Canvas(home=home) as canvas:
        # What was traced before the restart is known, and what was measured as well.
        canvas.generate("a green triangle", num_inference_steps=4)
        table = canvas.vram.history()
        assert len(table) == 3
        assert table["projected_mib"].iloc[-1] == pytest.approx(row["projected_mib"], rel=NEAR)
        canvas.shutdown()


def test_any_model_is_measured(canvas: Canvas, tiny_sd: Path) -> None:
    job = canvas.submit("x", preset=tiny_sd, num_inference_steps=3, width=72)
    job.wait()
    table = canvas.vram.history()
    [row] = table[table["job"] == job.id].to_dict("records")
    assert row["actual_mib"] > row["vae_decode_actual_mib"] > 0
    assert (row["width"], row["num_images"], row["device"]) == (72, 1, "cpu")


def test_each_phase_can_have_a_row_of_its_own(canvas: Canvas, tiny_sd: Path) -> None:
    job = canvas.submit("x", preset=tiny_sd, num_inference_steps=2)
    job.wait()
    phases = canvas.vram.history(by="phase", limit=10)
    mine = phases[phases["job"] == job.id]
    assert list(mine["phase"]) == list(PHASES)
    assert list(mine["known"]) == ["measured"] * 3
    assert all(not names for names in mine["mitigations"])
