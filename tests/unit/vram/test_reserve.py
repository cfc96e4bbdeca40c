"""The assumed reserve against what an H200 had reserved."""

import json
from pathlib import Path

import pytest

from mysticanvas.contracts.memory import Term
from mysticanvas.vram import reserve
from mysticanvas.vram.image import MIB, Prediction

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "gpu-nvidia-h200.json"


def prediction(allocated: int, activations: int) -> Prediction:
    terms = (
        Term(name="context", mib=600, known="probed"),
        Term(name="weights.unet", mib=(allocated - activations) / MIB, known="exact"),
        Term(name="activations.vae_decode", mib=activations / MIB, known="traced"),
        Term(name="safety", mib=8, known="assumed"),
    )
    phases = {"vae_decode": activations / MIB, "denoise": 1.0}
    total = sum(term.mib for term in terms)
    return Prediction(terms=terms, total_mib=total, phase="vae_decode", phases_mib=phases)


def test_the_context_and_what_is_for_safety_are_not_given_out() -> None:
    assert prediction(500 * MIB, 100 * MIB).allocated_mib == 500


def test_what_is_assumed_is_no_less_than_at_any_point_with_segments_that_grow() -> None:
    rows = json.loads(RESULTS.read_text())["rows"]
    growing = [row for row in rows if not row["name"].endswith("fixed")]
    assert len(growing) == 56
    for row in growing:
        made, found = row["predicted"], row["measured"]["reserved"]
        phase = max(made["phases"], key=made["phases"].get)
        guess = prediction(made["allocated"], made["activations"][phase])
        assumed = reserve.term(guess, None)
        assert assumed.known == "assumed"
        assert guess.allocated_mib + assumed.mib >= found / MIB, row["name"]


def test_what_was_found_counts_beyond_what_is_given_out() -> None:
    made = prediction(500 * MIB, 100 * MIB)
    assert reserve.term(made, 530 * MIB) == Term(name="reserve", mib=30, known="traced")
    # Corrections of a prediction may have it above.
    assert reserve.term(made, 400 * MIB).mib == 0


def test_small_jobs_have_a_least_one() -> None:
    assert reserve.term(prediction(500 * MIB, MIB), None).mib == pytest.approx(48)
