"""Workers that tell wrong amounts of memory, and a store that does not take measurements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from house import House
from measurements import MIB, PROFILE
from tasks import make_task

from mysticanvas.contracts.tracing import TraceAnswer
from mysticanvas.orchestrator.arbiter import comparison
from mysticanvas.orchestrator.arbiter.profiles import Batches, Subject, key_of

TASK = make_task(Path("sd"))
"""As the house submits them."""
CLAIMED_MIB = 1024


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """One that knows what its model takes."""
    with House(tmp_path) as house:
        # The format that this worker says it computes in.
        dtype: Any = "none"
        key = key_of(Subject("", TASK.model.digest, dtype, "cpu"), Batches.of(1, guided=True))
        answer = TraceAnswer(profile=PROFILE, keys=(), seconds=1.0, peak_rss=1)
        house.store.profiles.save(key, TASK.model.digest, answer.model_dump_json())
        yield house


@pytest.mark.fault("a worker that tells a wrong amount of memory", "it is told, and not learnt")
def test_a_measurement_that_contradicts_the_prediction_is_told_and_not_learnt(
    house: House,
) -> None:
    for _ in range(3):
        assert house.done("lie denoise 9").failures == []
    assert [alert.kind for alert in house.alerts] == ["memory_miss"]
    assert "took 1,024.0 MiB on cpu" in str(house.alerts[0])
    [first, *_] = measured = house.feedback.history(10)
    assert [each.actual for each in measured] == [CLAIMED_MIB * MIB] * 3
    assert first.projected is not None
    assert first.projected < 10 * MIB
    factors = house.feedback.factors(PROFILE, TASK.recipe.params, "cpu", ())
    assert set(factors.values()) == {1.0}


@pytest.mark.fault("a job that runs out of memory", "the next prediction counts on more")
def test_where_memory_ran_out_more_is_counted_on(house: House) -> None:
    job = house.submit("starve denoise 9")
    record = house.reached(job, "failed")
    assert record.error is not None
    assert record.error.code == "out_of_memory"
    [measured] = house.feedback.history(10)
    assert (measured.job_id, measured.at_least, measured.run_seconds) == (job, True, None)
    factors = house.feedback.factors(PROFILE, TASK.recipe.params, "cpu", ())
    assert factors["denoise"] == pytest.approx(comparison.INFLATION, rel=1e-4)
    assert factors["vae_decode"] == 1.0
    assert house.alerts == []


@pytest.mark.fault("a measurement that the store refuses", "the job succeeds")
def test_a_measurement_that_cannot_be_kept_costs_no_picture(house: House) -> None:
    with house.store.database.write() as transaction:
        transaction.run("DROP TABLE memory_measurements")
    record = house.done("lie denoise 9")
    assert len(record.images) == 1
    assert len(house.alerts) == 1


@pytest.mark.fault("a profile of a model that is damaged", "the job succeeds and is measured")
def test_a_damaged_profile_is_as_if_it_were_not_there(house: House) -> None:
    with house.store.database.write() as transaction:
        transaction.run("UPDATE model_profiles SET profile = '{}'")
    assert house.done("lie denoise 9").failures == []
    [measured] = house.feedback.history(10)
    assert (measured.projected, measured.actual) == (None, CLAIMED_MIB * MIB)
    assert house.alerts == []
