"""A library is refused memory as pictures are decoded, and says nothing: it computes otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House

WIDE = {"width": 256, "height": 192}


@pytest.fixture
def house(tmp_path: Path, tiny_sd: Path) -> Iterator[House]:
    """Its first process computes otherwise, once it has decoded."""
    counted = {"MISERLY_COUNT": str(tmp_path / "count"), "MISERLY_PROCESSES": "1"}
    home = tmp_path / "home"
    with House(home, worker_module="miserly_worker", model=tiny_sd, **counted) as house:
        yield house
        assert house.alerts == []


@pytest.mark.fault(
    "memory refused without a word, pixels to be kept", "a new process decodes, the same pixels"
)
def test_pixels_that_are_to_be_kept_are_decoded_by_a_new_process(house: House) -> None:
    first, second = (house.done("x", allowed="exact") for _ in range(2))
    assert (first.attempts, first.failures) == (1, [])
    assert "without sampling again" in first.notices[0]
    assert first.images[0].pixels_sha256 == second.images[0].pixels_sha256
    measured = house.feedback.history(10)
    assert [each.at_least for each in measured if each.phase == "vae_decode"][:1] == [True]


@pytest.mark.fault(
    "memory refused without a word", "tiles, which the recipe names; the next job in a new process"
)
def test_the_next_picture_is_what_it_always_is(house: House) -> None:
    jobs = [house.submit("x", **WIDE) for _ in range(2)]
    first, second = (house.reached(job, "succeeded") for job in jobs)
    assert first.images[0].recipe.mitigations == ("vae_tiling",)
    assert (second.images[0].recipe.mitigations, second.failures) == ((), [])
    # It was replaced, as no failure of its own, and its model was there no more.
    assert house.worker.status.restarts == 1
    [left] = house.unloaded
    assert left.unloaded == "model"
    assert "refused memory" in left.reason
    house.worker.retire("was there long enough", 20.0)
    another = house.reached(house.submit("x", **WIDE), "succeeded")
    assert second.images[0].pixels_sha256 == another.images[0].pixels_sha256
