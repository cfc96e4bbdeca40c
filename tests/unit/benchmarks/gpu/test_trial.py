"""Trials on small models: what a run without a GPU can show of them."""

import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import adapted, forecast, offload, quantised, trial
from benchmarks.gpu.points import Point

MIB = 1 << 20
CPU = torch.device("cpu")


def test_a_peak_is_near_what_was_counted_on_within_shares_of_it() -> None:
    assert trial.is_near(None, 1000 * MIB)
    assert trial.is_near(1029 * MIB, 1000 * MIB)
    assert not trial.is_near(1031 * MIB, 1000 * MIB)
    assert trial.is_near(901 * MIB, 1000 * MIB)
    assert not trial.is_near(899 * MIB, 1000 * MIB)
    assert trial.is_near(17 * MIB, 10 * MIB)


def test_points_are_plain_first_and_last_and_offloaded_in_every_way() -> None:
    found = offload.points("sdxl", [1, 2], 64)
    assert found[0] == found[-1] == Point("sdxl", 64, 64)
    assert [each.name for each in found if each.images == 2] == [
        "sdxl 64×64 ×2",
        "sdxl 64×64 ×2 offload_model",
        "sdxl 64×64 ×2 offload_group",
        "sdxl 64×64 ×2 offload_sequential",
    ]
    heavy = [each for each in offload.points("flux", [1, 2], 64) if each.images == 2]
    assert [each.mitigations for each in heavy] == [(), ("offload_group",)]


def test_offloaded_jobs_have_the_pixels_of_plain_ones_and_none_begins_too_late() -> None:
    points = [Point("sd15", 64, 64), Point("sd15", 64, 64, 1, ("offload_model",))]

    def known(point):
        return trial.profile(forecast.batches(point), "cpu", tiny=True, copies_input=True)

    subject = offload.Subject("sd15", points)
    lines = list(offload.compare(subject, CPU, known, time.monotonic() + 60))
    assert [each["ok"] for each in lines] == [True, True]
    assert lines[0]["pixels"] == lines[1]["pixels"]
    assert "peak_mib" not in lines[0]
    assert all("left_out" in each for each in offload.compare(subject, CPU, known, 0.0))


def test_a_lora_changes_pixels_and_leaves_nothing_behind(tmp_path: Path) -> None:
    lines = list(adapted.compare("sd15", CPU, 64, tmp_path, ("offload_model",)))
    assert [each["ok"] for each in lines] == [True] * 5
    assert lines[1]["pixels"] != lines[0]["pixels"]
    assert lines[1]["lora_predicted_bytes"] > 0


@pytest.mark.parametrize("kind", ["Q8_0"])
def test_a_denoiser_out_of_gguf_takes_what_was_predicted(tmp_path: Path, kind: str) -> None:
    weights, *jobs = quantised.compare(kind, CPU, 64, tmp_path)
    assert weights["ok"]
    assert weights["bytes"] == weights["predicted_bytes"]
    assert [each["ok"] for each in jobs] == [True] * 3
