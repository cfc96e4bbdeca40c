"""From a profile and who has the memory to a plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from measurements import traced

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.mitigations import OFFLOADS
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile, LatentSpace, Moved
from mysticanvas.contracts.vram import DeviceMemory, Holding, VramStatus
from mysticanvas.orchestrator.arbiter import language_planning, planning, refusals, registry, ways
from mysticanvas.orchestrator.arbiter.planning import Experience, Situation, Use
from mysticanvas.vram import image, llm
from mysticanvas.vram.reserve import RESERVE_SHARE

MIB = 1 << 20
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "gpu-nvidia-h200.json"


PROFILE = ImageProfile(
    dtype="float32",
    device="cpu",
    weights={"unet": 400 * MIB, "vae": 100 * MIB},
    latents=LatentSpace(factor=8, channels=4, embedding=64),
    traced=(
        traced("text_encode", "one", 1_000),
        traced("denoise", "more", 10_000),
        # At 512 px, 4,096 pixels of latents: 500 MiB.
        traced("vae_decode", "one", 500 * MIB / 4096),
        traced("vae_decode", "more", 500 * MIB / 4096),
    ),
)
CACHE = MemoryPart(name=llm.CACHE, mib=300, known="measured", device="CPU")
LLM = Holding(worker="llm", pid=2, preset="assistant", mib=2_000, parts=[CACHE])
IMAGE = Holding(worker="image", pid=1, preset=None, mib=450)


NOTHING = Experience()
ON_GPU = PROFILE.model_copy(update={"device": "cuda"})


def resolved(**changes: Any) -> ResolvedParams:
    given: dict[str, Any] = {
        "prompt": "x",
        "width": 512,
        "height": 512,
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
        "seed": 0,
        "scheduler": "DDIMScheduler",
    }
    return ResolvedParams(**given | changes)


def plan(
    free: float,
    *holdings: Holding,
    allowed: Any = "auto",
    profile: ImageProfile = PROFILE,
    asked: Sequence[str] = (),
    known: Experience = NOTHING,
    system_mib: float | None = None,
    holds: bool = False,
    **changes: Any,
) -> Plan:
    device = DeviceMemory(name="memory budget", total_mib=8_000, free_mib=free)
    status = VramStatus(device=device, is_budget=True, holdings=list(holdings))
    situation = Situation(status, "image", system_mib=system_mib, holds=holds)
    return planning.plan(resolved(**changes), profile, situation, 2, allowed, asked, known)


def terms(found: Plan) -> dict[str, tuple[float, str]]:
    return {term.name: (term.mib, term.known) for term in found.terms}


def test_the_worker_that_would_run_it_counts_as_held() -> None:
    found = plan(1_020, IMAGE)
    assert found.decision == "proceed"
    context = found.terms[0]
    assert (context.name, context.mib, context.known) == ("context", 450, "measured")
    # 450 and 500 of weights, 500 to decode, and the safety of it.
    assert found.total_mib == pytest.approx(1_450 + 15, abs=5)
    assert plan(1_470).terms[0].known == "assumed"


COLD = Holding(worker="image", pid=1, preset=None, mib=65, importing=True)


def seen(free: float, *holdings: Holding, worker: str = "image", **uses: Use) -> Situation:
    device = DeviceMemory(name="memory budget", total_mib=8_000, free_mib=free)
    status = VramStatus(device=device, is_budget=True, holdings=list(holdings))
    return Situation(status, worker, uses)


@pytest.mark.parametrize(
    ("use", "context", "known"),
    [
        (Use(ready_mib=400), 400, "measured"),
        # What the process before had beside its model, not what this one has so far.
        (Use(ready_mib=400, context_mib=390), 400, "measured"),
        (Use(), planning.CONTEXT_MIB, "assumed"),
    ],
)
def test_a_process_that_is_still_importing_counts_with_what_it_will_have(
    use: Use, context: float, known: str
) -> None:
    for holdings in [(COLD,), ()]:
        situation = seen(8_000, *holdings, image=use)
        found = planning.plan(resolved(), PROFILE, situation, 2, "auto")
        assert terms(found)["context"] == (context, known)
        assert found.held_mib == sum(each.mib for each in holdings)
    # It has taken 65 of that.
    needed = found.total_mib - 65
    for free, decision in [(needed + 1, "proceed"), (needed - 1, "refuse")]:
        situation = seen(free, COLD, image=use)
        found = planning.plan(resolved(), PROFILE, situation, 2, "none")
        assert found.decision == decision


def weighing(mib: float) -> language_planning.Needs:
    """A language model with so large weights, and nothing else."""
    part = MemoryPart(name=llm.WEIGHTS, mib=mib, known="exact", device=llm.SYSTEM)
    return lambda _: [part]


def test_a_language_model_for_a_process_that_is_still_importing() -> None:
    needs = weighing(100)
    cold = Holding(worker="llm", pid=2, preset=None, mib=30, importing=True)
    known = language_planning.plan(needs, 512, seen(500, cold, worker="llm"))
    assert terms(known)["context"] == (planning.CONTEXT_LLM_MIB, "assumed")
    use = Use(ready_mib=90)
    known = language_planning.plan(needs, 512, seen(500, cold, worker="llm", llm=use))
    assert (terms(known)["context"], known.held_mib) == ((90, "measured"), 30)


def test_what_another_process_will_import_is_not_free_and_comes_back_with_its_end() -> None:
    needs = weighing(380 - image.safety(0) / planning.MIB)

    def planned(free: float) -> Plan:
        situation = seen(free, COLD, worker="llm", image=Use(ready_mib=400), llm=Use(ready_mib=20))
        return language_planning.plan(needs, 512, situation)

    # 335 of what is free are still to be imported.
    assert [planned(free).decision for free in (735, 734)] == ["proceed", "hard_unload"]
    assert planned(735).free_mib == 400
    assert [planned(free).decision for free in (335, 334)] == ["hard_unload", "refuse"]


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


def on_gpu(**changes: Any) -> ImageProfile:
    """A model of 7,000 MiB whose decoder takes little, on a device with a CPU beside it."""
    parts = {"text_encode": "text_encoder", "denoise": "unet", "vae_decode": "vae"}
    at_once = {"text_encoder": (50, 50), "unet": (60, 2_000), "vae": (10, 200)}
    found = tuple(
        each.model_copy(update={"component": parts[each.key.phase]}) for each in PROFILE.traced
    )
    given: dict[str, Any] = {
        "device": "cuda",
        "weights": {"text_encoder": 1_800 * MIB, "unet": 5_000 * MIB, "vae": 200 * MIB},
        "traced": found,
        "offloads": OFFLOADS,
        "moved": {
            name: Moved(layers=layers * MIB, groups=groups * MIB)
            for name, (layers, groups) in at_once.items()
        },
    }
    return PROFILE.model_copy(update=given | changes)


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
    assert "about 10 times as long (assumed)" in found.explain()
    assert "This is assumed to take 10 times as long as usual." in found.notices()


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


LIGHT = ON_GPU.model_copy(
    update={"traced": (ON_GPU.traced[0], traced("denoise", "more", 100), *ON_GPU.traced[2:])}
)
"""A model whose decoder alone takes much, on a device with a CPU beside it."""
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


def test_pictures_are_decoded_on_the_cpu_only_where_the_system_has_room_for_that() -> None:
    def least(system_mib: float) -> Plan:
        return plan(1_270, profile=LIGHT, system_mib=system_mib)

    found = least(2_000)
    assert found.mitigations == ("vae_cpu",)
    # Beside the weights, what is decoded, and what is added for safety.
    loading, needed = 500, found.system_mib
    taken = needed - loading
    assert taken == pytest.approx(500 * 1.03, abs=1)
    assert f"takes {taken:,.0f} MiB of system memory to decode" in found.actions[0].why
    assert "of system memory, 2,000 MiB free:" in found.explain()
    assert least(needed + 0.01).fits
    for less in (needed - 0.01, loading + 0.01):
        assert not least(less).fits
    # What needs nothing more of it goes on.
    assert plan(1_430, profile=LIGHT, system_mib=loading).mitigations == ("vae_tiling",)


def test_a_model_is_loaded_by_way_of_the_systems_memory() -> None:
    found = plan(20_000, profile=on_gpu(), system_mib=7_000)
    assert found.decision == "proceed"
    [loading] = found.system_terms
    assert (loading.name, loading.mib, loading.known) == (image.LOADING, 7_000, "assumed")
    less = plan(20_000, profile=on_gpu(), system_mib=6_999)
    assert (less.fits, less.suggestion) == (False, {})
    assert "7,000 MiB of system memory beside the GPU, and 6,999 MiB of that" in str(
        refusals.of(less)
    )
    weights = MemoryPart(name="weights.unet", mib=7_000, known="exact", device="cuda:0")
    there = Holding(worker="image", pid=1, preset=None, mib=7_500, parts=[weights])
    again = plan(13_000, there, profile=on_gpu(), system_mib=1, holds=True)
    assert (again.decision, again.system_terms) == ("proceed", [])
    # Another one is there.
    assert not plan(13_000, there, profile=on_gpu(), system_mib=1).fits
    # On a CPU, they stay where they are loaded to.
    assert plan(20_000, system_mib=1).system_terms == []


def test_offloaded_weights_and_what_is_decoded_beside_them_lie_in_the_systems_memory() -> None:
    both = ("vae_cpu", "vae_tiling")
    found = plan(6_200, profile=on_gpu(), asked=both)
    assert found.mitigations == (*both, "offload_model")
    kept = {term.name: term.mib for term in found.system_terms}
    assert kept["weights, offloaded"] == 7_000
    assert kept["weights.vae, on the CPU"] == 200
    needed = sum(kept.values())
    assert plan(6_200, profile=on_gpu(), asked=both, system_mib=needed).fits
    less = plan(6_200, profile=on_gpu(), asked=both, system_mib=needed - 1)
    assert "vae_cpu" not in less.mitigations


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


def test_weights_are_offloaded_only_to_where_there_is_room_and_beside_a_gpu() -> None:
    assert plan(6_200, profile=on_gpu(), system_mib=7_000).fits
    assert not plan(6_200, profile=on_gpu(), system_mib=6_999).fits
    assert not plan(6_200, profile=on_gpu(device="cpu")).fits
    assert not plan(6_200, profile=on_gpu(offloads=())).fits
    works = planning.works(resolved(), on_gpu())
    assert len(works) == 3
    assert not plan(500, profile=on_gpu(), allowed="exact").suggestion.get("num_images")


def test_a_vae_that_is_converted_takes_more_of_the_device_while_it_decodes() -> None:
    moved = on_gpu().moved | {"unet": Moved(layers=60 * MIB, groups=120 * MIB)}
    converting = on_gpu(decoding_weights=200 * MIB, moved=moved)
    decoding = terms(plan(3_300, profile=converting))
    assert decoding["weights.vae, moved in"] == (200, "assumed")
    assert decoding["weights.vae, converted"] == (200, "exact")
    by_layers = terms(plan(1_700, profile=converting))
    assert by_layers["weights.vae, moved in"][0] == by_layers["weights.vae, converted"][0] == 10
