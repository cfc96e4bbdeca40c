"""What a language model takes of the device, and what is done for it there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.llm import AttentionLayer, ContextParams, Inspection, LanguageModel
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.presets import LLMPreset
from mysticanvas.contracts.vram import DeviceMemory, Holding, VramStatus
from mysticanvas.contracts.worker import LLMRef, Loaded
from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.orchestrator.arbiter import language_planning, planning, refusals, registry
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.language import LanguageModels, needing
from mysticanvas.orchestrator.arbiter.planning import Situation
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.store import Store
from mysticanvas.vram import llm

MIB = 1 << 20
WAIT_S = 60
LAYER = AttentionLayer(kv_heads=8, key_length=128, value_length=128)
MODEL = LanguageModel(
    architecture="llama",
    layers=(LAYER,) * 8,
    embedding=4096,
    context_length=32_768,
    dtype="q4_K",
    vocabulary=128 * 1024,
    input_bytes=100 * MIB,
    layer_bytes=(400 * MIB,) * 8,
    output_bytes=200 * MIB,
)
CONTEXT = ContextParams(n_ctx=8192)
"""With 32 MiB of cache a layer."""
ALL, NONE = ["CUDA0"] * 9, ["CPU"] * 9
HALF = ["CPU"] * 4 + ["CUDA0"] * 5
PART = MemoryPart(name="weights.unet", mib=5_000, known="exact", device="cuda:0")
IMAGE = Holding(worker="image", pid=1, preset="sd", mib=5_700, parts=[PART])


def part(name: str, mib: float, device: str) -> MemoryPart:
    return MemoryPart(name=name, mib=mib, known="probed", device=device)


def found(devices: Sequence[str], context: ContextParams = CONTEXT) -> Inspection:
    """As llama.cpp tells it, with 500 MiB to compute and 1 MiB more for 128 tokens."""
    on_gpu = "CUDA0" in devices
    buffers = [
        [
            part(llm.OUTPUT, 0.5, "CUDA_Host" if on_gpu else "CPU"),
            part(llm.COMPUTE, 500 + tokens / 128, "CUDA0" if on_gpu else "CPU"),
            *([part(llm.COMPUTE, 16, "CUDA_Host")] if on_gpu else []),
        ]
        for tokens in llm.rungs(context.n_ctx)
    ]
    return Inspection(model=MODEL, devices=list(devices), buffers=buffers)


def plan(
    free: float,
    *holdings: Holding,
    devices: Sequence[str] = ALL,
    is_gpu: bool = True,
    context: ContextParams = CONTEXT,
    **more: Any,
) -> Plan:
    device = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=free)
    status = VramStatus(device=device, is_gpu=is_gpu, holdings=list(holdings))
    needs = needing(context, found(devices, context))
    return language_planning.plan(needs, context.n_ctx, Situation(status, "llm", **more))


def terms(made: Plan) -> dict[str, tuple[float, str]]:
    return {term.name: (round(term.mib, 3), term.known) for term in made.terms}


def test_on_a_gpu_a_plan_has_the_context_and_safety_and_what_lies_there() -> None:
    assert terms(plan(9_000)) == {
        "context": (registry.CONTEXT_GPU_MIB, "assumed"),
        "weights": (3_400, "exact"),
        "kv cache": (256, "exact"),
        "compute": (564, "probed"),
        "safety": (round(564 * 0.03, 3), "assumed"),
    }
    started = Holding(worker="llm", pid=2, preset=None, mib=0)
    assert terms(plan(9_000, started)) == terms(plan(9_000))


def test_layers_in_system_memory_do_not_count() -> None:
    half = terms(plan(9_000, devices=HALF))
    assert (half["weights"][0], half["kv cache"][0]) == (1_800, 128)


def test_a_model_in_system_memory_evicts_nothing_from_a_gpu() -> None:
    made = plan(100, IMAGE, devices=NONE)
    assert (made.decision, made.actions, made.total_mib) == ("proceed", [], 0)
    assert {term.name: term.mib for term in made.system_terms} == {
        "weights": 3_500,
        "kv cache": 256,
        "compute": 564,
        "output": 0.5,
    }
    # Where it does lie there, it needs the room.
    assert plan(100, IMAGE).decision == "hard_unload"


def test_layers_go_to_system_memory_only_where_that_has_room_for_them() -> None:
    half = plan(9_000, devices=HALF)
    known = {term.name: (term.mib, term.known) for term in half.system_terms}
    assert known["weights"] == (1_700, "exact")
    assert known["kv cache"] == (128, "exact")
    assert plan(9_000, devices=HALF, system_mib=half.system_mib).fits
    less = plan(9_000, IMAGE, devices=HALF, system_mib=half.system_mib - 16)
    assert (less.decision, less.lacks_system_memory) == ("refuse", True)
    assert "of system memory beside the GPU" in str(refusals.of(less))
    fitting = less.suggestion["n_ctx"]
    assert isinstance(fitting, int)
    assert 0 < fitting < CONTEXT.n_ctx
    shorter = ContextParams(n_ctx=fitting)
    given = {"devices": HALF, "system_mib": half.system_mib - 16}
    assert plan(9_000, context=shorter, **given).fits
    assert not plan(9_000, context=ContextParams(n_ctx=fitting + 256), **given).fits


def test_without_a_gpu_all_of_it_counts() -> None:
    cpu = terms(plan(9_000, devices=NONE, is_gpu=False))
    assert cpu["weights"] == (3_500, "exact")
    assert cpu["output"] == (0.5, "exact")
    assert cpu["context"] == (planning.CONTEXT_LLM_MIB, "assumed")
    weights = MemoryPart(name=llm.WEIGHTS, mib=3_500, known="measured", device="CPU")
    shared = terms(plan(9_000, devices=ALL, is_gpu=False))
    assert (shared["weights"][0], shared["compute"][0]) == (3_500, 580)
    own = Holding(worker="llm", pid=2, preset="chat", mib=3_590, parts=[weights])
    assert terms(plan(9_000, own, devices=NONE, is_gpu=False))["context"] == (90, "measured")


def test_a_loaded_model_needs_what_it_has_and_the_safety() -> None:
    total = plan(9_000).total_mib
    parts = [part("weights", 3_400, "CUDA0"), part("kv cache", 256, "CUDA0")]
    own = Holding(
        worker="llm", pid=2, preset="chat", mib=3_656 + registry.CONTEXT_GPU_MIB, parts=parts
    )
    assert plan(total - own.mib + 1, own).decision == "proceed"
    assert not plan(total - own.mib - 1, own).fits


@pytest.mark.parametrize("free", [4_700.0, 4_800.0, 4_900.0])
def test_what_does_not_fit_is_refused_with_the_longest_context_that_would(free: float) -> None:
    made = plan(free)
    assert not made.fits
    fitting = made.suggestion["n_ctx"]
    assert isinstance(fitting, int)
    assert 0 < fitting < CONTEXT.n_ctx
    assert fitting % 256 == 0
    assert plan(free, context=ContextParams(n_ctx=fitting)).fits
    assert not plan(free, context=ContextParams(n_ctx=fitting + 256)).fits
    assert f"this would fit: n_ctx={fitting}" in made.explain()
    error = refusals.of(made)
    assert error.suggestion == made.suggestion
    assert f"n_ctx={fitting}" in str(error.hint)


def test_what_fits_with_no_context_has_no_suggestion() -> None:
    assert plan(4_000).suggestion == {}
    assert plan(9_000, displaces="another").suggestion == {}
    pinned = IMAGE.model_copy(update={"pinned": True})
    assert plan(4_800, pinned, uses={"image": planning.Use(pinned="sd")}).suggestion["n_ctx"]


def test_buffers_between_two_contexts_are_not_too_small() -> None:
    rungs = llm.rungs(3000)
    assert rungs == [256, 512, 1024, 2048, 3000]
    assert (llm.rungs(32), llm.rungs(256), llm.rungs(257)) == ([32], [256], [256, 257])
    planned = {tokens: [part("compute", tokens**2 / 1000, "CUDA0")] for tokens in rungs}
    for tokens in range(256, 3001):
        [compute] = llm.between(planned, tokens)
        assert compute.mib >= tokens**2 / 1000 - 1e-6
    assert llm.between(planned, 3000) == planned[3000]


class Process(Tenant):
    """A worker whose process loads at once, and says that it took long; it is its own lease and
    client."""

    load_s = 12.0
    memory_parts: Sequence[MemoryPart] = ()

    @property
    def client(self) -> Process:
        return self

    def lease(self, _: float) -> Process:
        self.is_running = True
        return self

    def asked(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    relied_on = asked

    def begun(self, held: Held) -> None: ...

    def ended(self, held: Held, _: object) -> None:
        self.hold(held, 3_400)

    def health(self, _: float) -> Process:
        return self

    def inspect(self, _: object) -> Inspection:
        return found(NONE)

    def load(self, model: LLMRef) -> Loaded:
        seconds = 0.01 if self.preset else self.load_s
        return Loaded(digest=model.digest, device="CPU", dtype="q4_K", seconds=seconds)


@pytest.fixture
def chat() -> Process:
    return Process("llm")


@pytest.fixture
def models(store: Store, tmp_path: Path, chat: Process) -> LanguageModels:
    """With two presets, `chat` and `another`."""
    for name in ("chat", "another"):
        file = tmp_path / f"{name}.gguf"
        file.write_text(name)
        store.llm_presets.save(LLMPreset(name=name, model=str(file), n_ctx=CONTEXT.n_ctx))
    worker: Any = chat
    return LanguageModels(store, Arbiter([chat], Machine(16_000, chat).memory), worker)


@pytest.fixture
def held_up(
    models: LanguageModels, chat: Process, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """A load of `chat` that has come as far as to look into its file; lets it go on, to its end."""
    looks, goes_on = threading.Event(), threading.Event()

    def inspect(_: object) -> Inspection:
        looks.set()
        assert goes_on.wait(WAIT_S)
        return found(NONE)

    def load() -> None:
        with contextlib.suppress(OrchestratorUnavailable):
            models.ensure("chat")

    def go_on() -> None:
        goes_on.set()
        loads.join(WAIT_S)

    monkeypatch.setattr(chat, "inspect", inspect)
    loads = threading.Thread(target=load)
    loads.start()
    assert looks.wait(WAIT_S)
    yield go_on
    go_on()


def test_who_unloads_a_model_that_is_on_its_way_waits_until_it_was_there_and_has_left(
    models: LanguageModels, chat: Process, held_up: Callable[[], None]
) -> None:
    models.unload("another")
    unloads = [threading.Thread(target=models.unload, args=given) for given in ((), ("chat",))]
    for each in unloads:
        each.start()
    unloads[0].join(0.1)
    assert all(each.is_alive() for each in unloads)
    assert (chat.preset, chat.done) == (None, [])
    held_up()
    for each in unloads:
        each.join(WAIT_S)
    assert (chat.preset, chat.done) == (None, ["retire"])


@pytest.mark.usefixtures("held_up")
def test_who_waits_for_a_model_on_its_way_is_let_go_when_all_ends(models: LanguageModels) -> None:
    unloads = threading.Thread(target=models.unload)
    unloads.start()
    unloads.join(0.1)
    assert unloads.is_alive()
    models.close()
    unloads.join(WAIT_S)
    assert not unloads.is_alive()


def test_what_a_reload_costs_is_what_loading_took_and_not_what_finding_it_there_takes(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "chat.gguf"
    file.write_bytes(b"weights")
    store.llm_presets.save(LLMPreset(name="chat", model=str(file), n_ctx=CONTEXT.n_ctx))
    image, chat = Tenant("image"), Process("llm")
    arbiter = Arbiter([image, chat], Machine(16_000, image, chat).memory)
    worker: Any = chat
    models = LanguageModels(store, arbiter, worker)
    for load_s in (12.0, 34.0):
        chat.load_s = load_s
        # Then it is there, perhaps without its context.
        for _ in range(2):
            models.ensure("chat")
            [resident] = arbiter.situation("image").residents
            assert resident.reload_s == load_s
        models.unload()
