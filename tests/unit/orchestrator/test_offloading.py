"""Weights are offloaded before a request is refused, in the quickest way that suffices."""

from __future__ import annotations

import pytest
from plans import MIB, on_gpu, plan, terms

from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.tracing import Moved
from mysticanvas.orchestrator.arbiter import planning
from mysticanvas.orchestrator.arbiter.planning import Experience


@pytest.mark.parametrize(
    ("free", "decision", "mitigations"),
    [
        (8_500, "proceed", ()),
        (8_100, "mitigate", ("vae_tiling",)),
        # The UNet with its activations; then its groups, or what is decoded.
        (6_200, "offload", ("offload_model",)),
        (3_300, "offload", ("offload_group",)),
        (1_700, "offload", ("offload_sequential",)),
        (1_300, "offload", ("vae_tiling", "offload_sequential")),
        (500, "refuse", ()),
    ],
)
def test_weights_are_offloaded_before_a_request_is_refused_in_the_quickest_way(
    free: float, decision: str, mitigations: tuple[str, ...]
) -> None:
    found = plan(free, profile=on_gpu())
    assert (found.decision, found.mitigations) == (decision, mitigations)
    assert found.total_mib == pytest.approx(sum(term.mib for term in found.terms))


def test_an_offloaded_request_needs_what_its_largest_phase_moves_in() -> None:
    found = terms(plan(6_200, profile=on_gpu()))
    assert found["weights.unet, moved in"] == (5_000, "exact")
    assert "weights.vae" not in found
    by_groups = terms(plan(3_300, profile=on_gpu()))
    assert by_groups["weights.unet, moved in"] == (2_000, "assumed")
    # What runs in no phase that is known may be there at any time.
    checked = on_gpu().weights | {"safety_checker": 600 * MIB}
    beside = terms(plan(6_900, profile=on_gpu(weights=checked)))
    assert beside["weights.safety_checker"] == (600, "exact")
    assert beside["weights.unet, moved in"] == (5_000, "exact")


def test_an_offloaded_request_says_what_it_costs() -> None:
    found = plan(1_700, profile=on_gpu())
    [action] = found.actions
    assert (action.kind, found.changes_pixels) == ("offload", False)
    assert "same pixels) and keeps 7,000 MiB of weights in system memory" in action.why
    assert "about 12 times as long (assumed)" in found.explain()
    assert "This is assumed to take 12 times as long as usual." in found.notices()


def test_how_much_longer_an_offloaded_job_takes_is_learnt_from_jobs_that_ran_in_both_ways() -> None:
    def told(**took: float) -> Plan:
        seconds = {(): took["plain"]} if "plain" in took else {}
        seconds |= {("offload_model",): took["offloaded"]} if "offloaded" in took else {}
        found = plan(6_200, profile=on_gpu(), known=Experience(seconds=seconds.get))
        assert found.mitigations == ("offload_model",)
        return planning.timed(found, seconds.get)

    both = told(plain=10.0, offloaded=45.0)
    assert (both.slowdown, both.slowdown_known) == (4.5, "measured")
    assert (both.seconds, both.seconds_known) == (45.0, "measured")
    assert "about 4 times as long (measured)" in both.explain()
    assert "Such a job took 4 times as long as usual." in both.notices()
    quicker = told(plain=10.0, offloaded=14.0)
    assert not any("times as long" in said for said in quicker.notices())
    plain = told(plain=10.0)
    assert (plain.slowdown_known, plain.seconds, plain.seconds_known) == (
        "assumed", 10.0 * plain.slowdown, "assumed",
    )  # fmt: skip
    alone = told(offloaded=45.0)
    assert (alone.slowdown_known, alone.seconds_known) == ("assumed", "measured")
    assert (told().seconds, told().seconds_known) == (None, None)


def test_the_way_that_was_measured_to_be_quicker_is_taken() -> None:
    seconds = {(): 10.0, ("offload_model",): 60.0, ("offload_group",): 20.0}
    found = plan(6_200, profile=on_gpu(), known=Experience(seconds=seconds.get))
    assert (found.mitigations, found.slowdown) == (("offload_group",), 2.0)


def test_offload_keeps_pixels_and_so_is_allowed_where_those_count() -> None:
    assert plan(3_300, profile=on_gpu(), allowed="exact").mitigations == ("offload_group",)
    assert not plan(1_300, profile=on_gpu(), allowed="exact").fits
    assert not plan(6_200, profile=on_gpu(), allowed="none").fits
    # A reproduction needs the pixels, and not the way.
    asked = ("vae_tiling", "offload_sequential")
    assert plan(9_000, profile=on_gpu(), asked=asked).mitigations == ("vae_tiling",)
    both = ("vae_cpu", "vae_tiling")
    assert plan(6_200, profile=on_gpu(), asked=both).mitigations == (*both, "offload_model")


def test_a_vae_that_is_converted_takes_more_of_the_device_while_it_decodes() -> None:
    moved = on_gpu().moved | {"unet": Moved(layers=60 * MIB, groups=120 * MIB)}
    converting = on_gpu(decoding_weights=200 * MIB, moved=moved)
    decoding = terms(plan(3_300, profile=converting))
    assert decoding["weights.vae, moved in"] == (200, "assumed")
    assert decoding["weights.vae, converted"] == (200, "exact")
    by_layers = terms(plan(1_700, profile=converting))
    assert by_layers["weights.vae, moved in"][0] == by_layers["weights.vae, converted"][0] == 10
