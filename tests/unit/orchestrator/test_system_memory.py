"""What a request on a GPU takes of the system's memory has to be free there."""

from __future__ import annotations

import pytest
from plans import LIGHT, on_gpu, plan, resolved

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.vram import Holding
from mysticanvas.orchestrator.arbiter import planning, refusals
from mysticanvas.vram import image


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


def test_weights_are_offloaded_only_to_where_there_is_room_and_beside_a_gpu() -> None:
    assert plan(6_200, profile=on_gpu(), system_mib=7_000).fits
    assert not plan(6_200, profile=on_gpu(), system_mib=6_999).fits
    assert not plan(6_200, profile=on_gpu(device="cpu")).fits
    assert not plan(6_200, profile=on_gpu(offloads=())).fits
    works = planning.works(resolved(), on_gpu())
    assert len(works) == 3
    assert not plan(500, profile=on_gpu(), allowed="exact").suggestion.get("num_images")
