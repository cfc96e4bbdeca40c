"""A plan counts all that a request takes, and makes room for it in the mildest way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plans import IMAGE, LLM, MIB, ON_GPU, PROFILE, plan, resolved, terms

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.vram import Holding
from mysticanvas.orchestrator.arbiter import planning, registry
from mysticanvas.orchestrator.arbiter.planning import Experience
from mysticanvas.vram.reserve import RESERVE_SHARE

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "gpu-nvidia-h200.json"


def test_the_worker_that_would_run_it_counts_as_held() -> None:
    found = plan(1_020, IMAGE)
    assert found.decision == "proceed"
    context = found.terms[0]
    assert (context.name, context.mib, context.known) == ("context", 450, "measured")
    # 450 and 500 of weights, 500 to decode, and the safety of it.
    assert found.total_mib == pytest.approx(1_450 + 15, abs=5)
    assert plan(1_470).terms[0].known == "assumed"


@pytest.mark.parametrize(
    ("free", "decision", "targets"),
    [
        (1_100, "proceed", []),
        (900, "soft_unload", ["assistant"]),
        (700, "mitigate", ["vae_tiling"]),
        (200, "hard_unload", ["assistant"]),
    ],
)
def test_the_assistant_makes_room_in_the_mildest_way(
    free: float, decision: str, targets: list[str]
) -> None:
    found = plan(free, IMAGE, LLM)
    assert found.decision == decision
    assert [action.target for action in found.actions] == targets


def test_what_does_not_fit_comes_with_what_would() -> None:
    fewer = plan(1_100, IMAGE, allowed="none", num_images=4)
    assert (fewer.decision, fewer.suggestion) == ("refuse", {"num_images": 1})
    smaller = plan(600, IMAGE, allowed="none", num_images=4)
    assert smaller.suggestion == {"width": 192, "height": 192, "num_images": 1}
    assert plan(600, IMAGE, allowed="none", **smaller.suggestion).fits
    # In tiles, more would.
    assert plan(600, IMAGE, num_images=4).suggestion != smaller.suggestion
    assert "does not fit" in smaller.explain()


def test_on_cuda_a_plan_counts_what_was_found_to_be_reserved() -> None:
    [work, *_] = planning.works(resolved(), ON_GPU)
    # Weights, 8 MiB of cuBLAS, 500 to decode and what is held: some 1,008 are given out.
    found = plan(8_000, profile=ON_GPU, known=Experience(reserved={work: 1_300 * MIB}))
    mib, known = terms(found)["reserve"]
    assert known == "traced"
    assert mib == pytest.approx(1_300 - 1_008, abs=2)
    rest = sum(terms(found)[name][0] for name in ("context", "safety"))
    assert found.total_mib == pytest.approx(1_300 + rest)
    # What measurements say of the activations is added, not swallowed.
    factors = {"vae_decode": 1.1}
    more = plan(
        8_000,
        profile=ON_GPU,
        known=Experience(lambda _: factors, {work: 1_300 * MIB}),  # type: ignore[arg-type, return-value]
    )
    assert terms(more)["reserve"][0] == mib
    assert more.total_mib > found.total_mib + 50


def test_on_cuda_a_reserve_that_nobody_found_out_is_a_share_of_the_activations() -> None:
    mib, known = terms(plan(8_000, profile=ON_GPU))["reserve"]
    assert known == "assumed"
    assert mib == pytest.approx(500 * RESERVE_SHARE, rel=0.01)


def test_elsewhere_nothing_is_reserved_beyond_what_is_given_out() -> None:
    works = planning.works(resolved(num_images=2), PROFILE)
    known = Experience(reserved=dict.fromkeys(works, 9_000 * MIB))
    assert not any(work.decode_on_cpu for work in works)
    assert "reserve" not in terms(plan(8_000))
    assert plan(8_000, num_images=2, known=known) == plan(8_000, num_images=2)


def test_on_cuda_a_process_counts_with_its_context_before_and_after_it_has_a_model() -> None:
    probes = json.loads(RESULTS.read_text())["probes"]
    measured = (probes["context"] + probes["libraries_outside"]) / MIB
    found = plan(8_000, profile=ON_GPU)
    context, _ = terms(found)["context"]
    assert measured <= context < 1.02 * measured
    part = MemoryPart(name="weights.unet", mib=500, known="exact", device="cuda:0")
    mib = 500 + registry.CONTEXT_GPU_MIB
    loaded = Holding(worker="image", pid=1, preset="sd", mib=mib, parts=[part])
    rest = found.total_mib - context - 500
    assert plan(rest + 1, loaded, profile=ON_GPU).decision == "proceed"
    assert plan(rest - 1, loaded, profile=ON_GPU).decision != "proceed"


def test_a_context_that_the_worker_measured_is_in_its_plans() -> None:
    parts = [
        MemoryPart(name="weights.unet", mib=500, known="exact", device="cuda:0"),
        MemoryPart(name="context", mib=410, known="measured", device="cuda:0"),
    ]
    mib = 500 + 410 + registry.KERNELS_GPU_MIB
    loaded = Holding(worker="image", pid=1, preset="sd", mib=mib, parts=parts)
    found = plan(8_000, loaded, profile=ON_GPU)
    assert terms(found)["context"] == (410 + registry.KERNELS_GPU_MIB, "measured")
    rest = found.total_mib - mib
    assert plan(rest + 1, loaded, profile=ON_GPU).decision == "proceed"
    assert plan(rest - 1, loaded, profile=ON_GPU).decision != "proceed"
    assert terms(plan(8_000, profile=ON_GPU))["context"] == (registry.CONTEXT_GPU_MIB, "assumed")
