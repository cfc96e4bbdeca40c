"""Measurements as tables."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from measurements import MIB, measurement

from mysticanvas.contracts.measurements import Accuracy
from mysticanvas.session import measurements

TWO = [
    measurement(job_id="a", phase="denoise", corrected=102 * MIB, actual=101 * MIB),
    measurement(job_id="a", phase="vae_decode", actual=150 * MIB, at_least=True),
    measurement(job_id="a", phase="vae_decode", actual=40 * MIB, mitigations=("vae_tiling",)),
    measurement(job_id="b", corrected=None, projected=None, projected_weights=None),
]


def test_a_row_is_a_run_of_a_job_with_its_peak_and_its_phases() -> None:
    table = measurements.by_job(TWO)
    assert list(table.columns[:3]) == ["job", "projected_mib", "actual_mib"]
    first, second = table.to_dict("records")
    assert (first["job"], first["projected_mib"], first["actual_mib"]) == ("a", 602, 650)
    assert (first["denoise_projected_mib"], first["denoise_actual_mib"]) == (102, 101)
    assert first["vae_decode_actual_mib"] == 40
    assert (first["ran_out"], first["mitigations"]) == (True, ("vae_tiling",))
    assert math.isnan(first["text_encode_actual_mib"])
    assert (second["job"], second["actual_mib"], second["ran_out"]) == ("b", 600, False)
    assert math.isnan(second["projected_mib"])


def test_a_row_can_be_a_phase() -> None:
    table = measurements.by_phase(TWO)
    assert list(table["job"]) == ["a", "a", "a", "b"]
    assert list(table["actual_mib"]) == [101, 150, 40, 100]
    first = table.iloc[0]
    assert (first["projected_mib"], first["corrected_mib"]) == (100, 102)
    assert (first["phase"], first["known"], first["seconds"]) == ("denoise", "measured", 1.0)


def test_another_attempt_is_another_row() -> None:
    again = [TWO[0], TWO[0].model_copy(update={"attempt": 2})]
    assert len(measurements.by_job(again)) == 2


@pytest.mark.parametrize("make", [measurements.by_job, measurements.by_phase])
def test_without_measurements_there_are_the_columns(make: object) -> None:
    empty, some = make([]), make(TWO)  # type: ignore[operator]
    assert len(empty) == 0
    assert list(empty.columns) == list(some.columns)
    assert pd.concat([empty, some])["actual_mib"].dtype == "float64"


def test_accuracy_is_a_row_for_each_device_and_preset() -> None:
    found = [
        Accuracy(phases=3, mean=0.01, worst=-0.02, under=0.5),
        Accuracy(device="cpu", preset="sd15", phases=3, mean=0.01, worst=-0.02, under=0.5),
    ]
    table = measurements.accuracy(found)
    assert list(table.columns) == ["device", "preset", "phases", "mean", "worst", "under"]
    assert pd.isna(table["preset"][0])
    assert table["preset"][1] == "sd15"
    assert len(measurements.accuracy([]).columns) == 6
