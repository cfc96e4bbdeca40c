"""`python -m benchmarks.gpu` on a CPU, with small models: the way that it goes on a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.gpu.fleet import Child, Order, one_by_one

# Each of its processes imports what a worker does.
pytestmark = pytest.mark.timeout(420)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--out", folder, "--device", "cpu",
         "--models", "sd15", "--points", "3", "--ahead", "1", "--threads", "1"],
        cwd=ROOT, check=True, timeout=400, capture_output=True,
    )  # fmt: skip
    return folder


def test_peaks_of_real_jobs_are_near_what_was_predicted(out) -> None:
    results = json.loads((out / "results.json").read_text())
    assert [(row["name"], row["group"]) for row in results["rows"]] == [
        ("sd15 64×64", "fitted"),
        ("sd15 128×64", "held out"),
        ("sd15 128×64 ×2", "held out"),
    ]
    for row in results["rows"]:
        assert abs(row["deviations"]["allocated"]) < 1.0
        assert abs(row["deviations"]["activations"]["vae_decode"]) < 5.0
        assert row["measured"]["phases"].keys() == {"text_encode", "denoise", "vae_decode"}
        assert row["measured"]["reserved"] is row["measured"]["device"] is None
    assert results["summary"]["sd15"]["points"] == 2
    assert results["calibration"].keys() == {"sd15 text_encode", "sd15 denoise", "sd15 vae_decode"}
    assert not results["problems"]
    assert any("flash" in name for name in results["attention"]["sd15"]["operations"])


def test_predictions_were_written_before_the_first_measurement(out) -> None:
    predictions = json.loads((out / "predictions.json").read_text())
    names = [each["name"] for each in predictions["predictions"]]
    assert names == ["sd15 64×64", "sd15 128×64", "sd15 128×64 ×2"]
    assert predictions["at"] < json.loads((out / "results.json").read_text())["at"]
    written = (out / "predictions.json").stat().st_mtime
    assert written < (out / "results.json").stat().st_mtime


def test_the_table_has_every_point(out) -> None:
    table = (out / "table.md").read_text()
    assert "| sd15 128×64 ×2 | held out |" in table


def test_an_order_that_lasts_too_long_or_fails_is_a_row_and_the_next_one_is_carried_out() -> None:
    point = ["sd15", 64, 64, 1, [], "worker", False]
    measure = {"kind": "measure", "point": point, "device": "cpu", "tiny": True}
    orders = [
        Order(measure, 0.01),
        Order({"kind": "measure", "point": point, "device": "nowhere", "tiny": True}, 120),
        Order(measure, 120),
        Order(measure, 120),
    ]
    asked = []

    def goes_on(order: Order) -> bool:
        asked.append(order)
        return len(asked) < 4

    found = list(one_by_one(orders, 2, 1, goes_on))
    assert [order for order, _, _ in found] == orders
    late, wrong, fine, refused = (answer for _, answer, _ in found)
    assert late["timed_out"]
    assert wrong["error"].startswith("RuntimeError")
    assert fine["answer"]["phases"]["denoise"]["allocated"] > 1_000_000
    assert refused is None
    assert not any(psutil.pid_exists(pid) for _, _, pid in found if pid)


def test_a_process_that_ends_early_says_why() -> None:
    child = Child({}, threads=0)
    try:
        answer = child.ask({"kind": "measure"}, 120)
        assert "ended the process" in answer["error"]
    finally:
        child.kill()
