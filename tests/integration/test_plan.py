"""Plans of real models on a budget of memory; nothing is run for them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import pytest
from models import make_sd
from transformer_models import make_qwen_image, make_z_image

from mysticanvas import Canvas, DoesNotFit, ImagePreset, InvalidRequest, PresetError

BUDGET_MIB = 1_500
NEAR = 0.03
"""Share that the prediction of a job may be off by."""


def test_a_plan_says_what_fits_and_what_would_and_runs_nothing(home: Path, tiny_sd: Path) -> None:
    with Canvas(home=home, memory_budget_mib=BUDGET_MIB, project="p") as canvas:

        def plan(**given: Any) -> Any:
            return canvas.plan("a castle", preset=tiny_sd, **given)

        small = plan()
        assert (small.fits, small.decision, small.changes_pixels) == (True, "proceed", False)
        assert small.total_mib == pytest.approx(sum(term.mib for term in small.terms))
        known = {term.name: term.known for term in small.terms}
        assert known["weights.unet"] == "exact"
        assert "traced" in known.values()
        assert "fits as it is" in repr(small)
        assert (small.times_usual_px, plan(num_images=3).times_usual_px) == (1, 3)
        assert "how long it takes is not known: 64 times" in repr(plan(width=512, height=512))
        # Decoded in tiles, it does: found by looking for where the plan changes.
        sides = range(1024, 16_384, 512)
        tiled = next(p for s in sides if (p := plan(width=s, height=s)).decision == "mitigate")
        assert (tiled.fits, tiled.changes_pixels) == (True, True)
        assert "vae_tiling" in tiled.actions[-1].target
        side = next(s for s in sides if plan(width=s, height=s).decision == "mitigate")
        exact = plan(width=side, height=side, mitigations="exact")
        assert (exact.fits, exact.decision) == (False, "refuse")
        assert exact.suggestion["preset"] == str(tiny_sd)
        smaller = canvas.plan("a castle", **exact.suggestion)
        assert smaller.fits
        assert smaller.total_mib < exact.total_mib
        assert canvas.jobs.list() == []
        canvas.shutdown()


def test_a_preset_is_planned_as_it_is_given_and_not_saved(home: Path, tiny_sd: Path) -> None:
    with Canvas(home=home, memory_budget_mib=BUDGET_MIB) as canvas:
        saved = canvas.presets.image.save(ImagePreset(name="ink", model=str(tiny_sd)))
        half = saved.replace(dtype="float16", default_params={"width": 8192, "height": 8192})
        plan = canvas.plan("a castle", preset=half)
        assert not plan.fits
        whole, halved = (
            next(term.mib for term in each.terms if term.name == "weights.unet")
            for each in (canvas.plan("a castle", preset="ink"), plan)
        )
        assert halved == whole / 2
        assert plan.suggestion["preset"] == half
        assert canvas.plan("a castle", **plan.suggestion).fits
        canvas.plan("a castle", preset=half.replace(name="new"))
        with pytest.raises(PresetError, match="/no/such"):
            canvas.plan("a castle", preset=half.replace(vae="/no/such.safetensors"))
        assert "new" not in canvas.presets.image
        assert [each.dtype for each in canvas.presets.image.revisions("ink")] == ["auto"]
        canvas.shutdown()


@pytest.mark.parametrize(
    ("make", "params"),
    [
        # One in whose pipeline guidance doubles no batch, and one in which it does above 0.
        (make_qwen_image, {"guidance_scale": 4.0}),
        (make_z_image, {"guidance_scale": 0.0}),
    ],
)
def test_diffusion_transformers_are_planned(
    canvas: Canvas, tmp_path: Path, make: Callable[[Path], Path], params: dict[str, Any]
) -> None:
    plan = canvas.plan("a castle", preset=make(tmp_path / "model"), **params)
    assert plan.decision == "proceed"
    known = {term.name: term.known for term in plan.terms}
    assert known["weights.transformer"] == known["weights.text_encoder"] == "exact"
    assert "traced" in known.values()


def test_a_loaded_model_is_not_counted_twice(home: Path, tiny_sd: Path) -> None:
    with Canvas(home=home, memory_budget_mib=BUDGET_MIB) as canvas:
        canvas.generate("x", preset=tiny_sd, num_inference_steps=1)
        plan = canvas.plan("x", preset=tiny_sd)
        [held] = [each.mib for each in canvas.vram.workers if each.worker == "image"]
        context = next(term for term in plan.terms if term.name == "context")
        assert context.known == "measured"
        assert context.mib < held < plan.total_mib
        assert plan.free_mib < BUDGET_MIB - held + 50
        assert plan.decision == "proceed"
        canvas.shutdown()


@pytest.mark.fault("a job comes to a worker that is still importing", "planned as if it were ready")
def test_a_worker_that_starts_again_counts_with_what_it_had_before(
    home: Path, tiny_sd: Path
) -> None:
    with Canvas(home=home, memory_budget_mib=BUDGET_MIB) as canvas:
        canvas.generate("x", preset=tiny_sd, num_inference_steps=1)
        given: Any = {"preset": tiny_sd, "mitigations": "none", "num_inference_steps": 1}
        sides = range(1024, 16_384, 64)
        least = next(s for s in sides if not canvas.plan("x", width=s, height=s, **given).fits)
        # Too large by more than what a process has varies by, but not without what it has.
        given |= {"width": least + 64, "height": least + 64}
        warm = canvas.plan("x", **given)
        assert BUDGET_MIB < warm.total_mib - 20 < BUDGET_MIB + warm.terms[0].mib / 2
        before = canvas.workers["image"].pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while canvas.workers["image"].pid in (None, before):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(DoesNotFit) as refused:
            canvas.submit("x", **given).result(timeout=60)
        for cold in (refused.value.plan, canvas.plan("x", **given)):
            assert cold.terms[0].known == "measured"
            assert cold.total_mib == pytest.approx(warm.total_mib, abs=5)
        canvas.shutdown()


def test_what_cannot_be_planned_is_told(canvas: Canvas, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="num_inference_steps"):
        canvas.plan("x", steps=3)
    with pytest.raises(InvalidRequest, match="no preset"):
        canvas.plan("x", preset="no-such-preset")


def test_a_plan_has_the_weights_that_the_worker_reports(home: Path, tmp_path: Path) -> None:
    """For single files and presets with parts of their own, whoever was asked what they need: a
    process, or the worker that has the job. What a file needs is what its folder needs."""
    sd, xl = checkpoints.make_sd(), checkpoints.make_sdxl()
    sd.save_pretrained(tmp_path / "sd")
    file = checkpoints.write_sd(sd, tmp_path / "sd.safetensors")
    file_xl = checkpoints.write_sdxl(xl, tmp_path / "xl.safetensors")
    unet = make_sd(tmp_path / "other", width=32) / "unet"
    tiny = make_sd(tmp_path / "tiny")
    presets = [
        ImagePreset(name="file", model=str(file)),
        ImagePreset(name="file xl", model=str(file_xl)),
        ImagePreset(name="vae", model=str(tmp_path / "sd"), vae=str(file_xl)),
        ImagePreset(name="unet", model=str(tiny), unet=str(unet)),
    ]
    given: Any = {"width": 64, "height": 64, "num_inference_steps": 2}
    with Canvas(home=home, memory_budget_mib=BUDGET_MIB) as canvas:

        def terms(preset: Any) -> dict[str, float]:
            found = canvas.plan("x", preset=preset, **given).terms
            return {term.name: term.mib for term in found if term.name != "context"}

        canvas.presets.image.save(presets[0])
        planned = terms("file")
        for preset in presets:
            job = canvas.submit("x", preset=preset, **given)
            job.result()
            [worker] = [each for each in canvas.vram.workers if each.worker == "image"]
            found = terms(preset.name)
            weights = {name: mib for name, mib in found.items() if name.startswith("weights.")}
            assert {part.name: part.mib for part in worker.parts} == pytest.approx(weights)
            [row] = canvas.vram.history(limit=1).to_dict("records")
            assert row["job"] == job.id
            assert row["projected_mib"] == pytest.approx(row["actual_mib"], rel=NEAR)
        assert terms(tmp_path / "sd") == pytest.approx(planned)
        canvas.shutdown()
