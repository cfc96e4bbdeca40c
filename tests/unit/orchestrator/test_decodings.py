"""What does not fit is decoded in another way, whose time is learnt and said."""

from __future__ import annotations

from typing import Any

import pytest
from plans import LIGHT, ON_GPU, PROFILE, plan, terms

from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.orchestrator.arbiter import planning, ways
from mysticanvas.orchestrator.arbiter.planning import Experience


def test_on_cuda_what_fits_no_other_way_is_decoded_on_the_cpu() -> None:
    def least(**changes: Any) -> Plan:
        """With nothing but a process and the weights."""
        return plan(1_270, profile=LIGHT, **changes)

    beside = least(num_images=2)
    assert beside.mitigations == ("vae_slicing", "vae_cpu")
    assert beside.changes_pixels
    assert "activations.denoise" in terms(beside)
    assert least().mitigations == ("vae_cpu",)
    assert plan(1_430, profile=LIGHT).mitigations == ("vae_tiling",)
    assert not least(allowed="exact").fits
    elsewhere = plan(1_020, profile=LIGHT.model_copy(update={"device": "cpu"}))
    assert not elsewhere.fits


@pytest.mark.parametrize(
    ("asked", "profile", "chosen"),
    [
        (("vae_cpu", "vae_tiling"), ON_GPU, ("vae_cpu", "vae_tiling")),
        (("vae_cpu",), ON_GPU, ("vae_cpu",)),
        (("vae_slicing",), ON_GPU, ("vae_tiling",)),
        (("vae_cpu", "vae_tiling"), PROFILE, ("vae_tiling",)),
    ],
)
def test_what_a_reproduction_asks_for_is_done_as_far_as_the_device_allows(
    asked: tuple[str, ...], profile: ImageProfile, chosen: tuple[str, ...]
) -> None:
    assert plan(8_000, profile=profile, asked=asked).mitigations == chosen


DECODINGS = [
    (2_000, {"num_images": 2}, ("vae_slicing",)),
    (1_430, {}, ("vae_tiling",)),
    (1_270, {}, ("vae_cpu",)),
    (1_270, {"num_images": 2}, ("vae_slicing", "vae_cpu")),
]


@pytest.mark.parametrize(("free", "changes", "way"), DECODINGS)
def test_how_much_longer_another_decoding_takes_is_learnt_and_said(
    free: float, changes: dict[str, Any], way: tuple[str, ...]
) -> None:
    seconds = {(): 4.0, way: 80.0}
    known = Experience(seconds=seconds.get)
    profile = LIGHT.model_copy(update={"decodings": way})
    found = planning.timed(plan(free, profile=profile, known=known, **changes), seconds.get)
    assert found.mitigations == way
    assert (found.slowdown, found.slowdown_known) == (20.0, "measured")
    assert (found.seconds, found.seconds_known) == (80.0, "measured")
    assert "Such a job took 20 times as long as usual." in found.notices()
    assert "about 20 times as long (measured)" in found.explain()


@pytest.mark.parametrize(("free", "changes", "way"), DECODINGS)
def test_what_another_decoding_takes_is_assumed_before_it_was_measured(
    free: float, changes: dict[str, Any], way: tuple[str, ...]
) -> None:
    seconds = {(): 4.0}
    known = Experience(seconds=seconds.get)
    profile = LIGHT.model_copy(update={"decodings": way})
    found = planning.timed(plan(free, profile=profile, known=known, **changes), seconds.get)
    longer = ways.slowdown(found.mitigations)  # type: ignore[arg-type]
    assert (found.mitigations, found.slowdown, found.slowdown_known) == (way, longer, "assumed")
    assert (found.seconds, found.seconds_known) == (pytest.approx(4.0 * longer), "assumed")
    said = "This is assumed to take 20 times as long as usual."
    assert (said in found.notices()) == ("vae_cpu" in way)


def test_several_mitigations_each_take_time_of_their_own() -> None:
    assert ways.slowdown(()) == 1.0
    assert ways.slowdown(("vae_cpu", "offload_model")) == 20.0 + 7.0 - 1.0
