"""Pinned models stay, whatever else is asked for."""

from __future__ import annotations

import pytest
from arbiters import OTHER, carried_out, ready

from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.errors import DoesNotFit
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.supervisor.messages import Held

pytestmark = pytest.mark.usefixtures("hurried_arbiter")


def test_a_pinned_model_stays_until_it_is_let_go() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    pins = Pins()
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory, pins)
    pins.set("chat", True)
    assert arbiter.idle(0) == {}
    with pytest.raises(DoesNotFit, match="'chat' is pinned and in the way") as refused:
        carried_out(arbiter, "image", 5_000)
    assert refused.value.plan["pinned"] == ["chat"]
    assert carried_out(arbiter, "llm", 4_000, wanted=Held("chat", "the same, otherwise named")).fits
    assert carried_out(arbiter, "llm", 4_000, wanted=Held("changed", "chat")).fits
    # Another model for the same worker, whether or not it is known what that needs.
    for prepare in (ready(1_000), lambda: None):
        with (
            pytest.raises(DoesNotFit, match="'chat' is pinned and in the way"),
            arbiter.admitted("llm", prepare, wanted=lambda: OTHER),
        ):
            pass
    assert chat.done == []
    pins.set("chat", False)
    assert carried_out(arbiter, "llm", 4_000, wanted=OTHER).fits
    pins.set("chat", True)
    pins.set("sd", True)
    pins.clear("chat")
    assert carried_out(arbiter, "image", 5_000).decision == "soft_unload"
    sd = Held("sd", "sd")
    assert pins.protecting("image", sd) == "sd"
    pins.clear()
    assert pins.protecting("image", sd) is None


def test_a_pin_protects_the_model_and_not_the_name_that_it_was_loaded_by() -> None:
    told: list[Unloaded] = []
    image, chat = Tenant("image"), Tenant("llm")
    pins = Pins()
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory, pins, told=told.append)
    plain, wide = Held("sd", "plain", "float32"), Held("sd", "wide", "float32")
    half = Held("sd", "half", "bfloat16")

    def draw(model: Held) -> None:
        with arbiter.admitted("image", ready(3_000), wanted=lambda: model):
            image.hold(model, 3_000)

    draw(plain)
    pins.set("plain", True)
    # The same files in another number format are another model.
    with pytest.raises(DoesNotFit, match="'plain' is pinned and in the way"):
        draw(half)
    draw(wide)
    assert image.preset == "wide"
    for other in (half, OTHER):
        with pytest.raises(DoesNotFit, match="'plain' is pinned and in the way"):
            draw(other)
    with pytest.raises(DoesNotFit) as refused:
        carried_out(arbiter, "llm", 6_000)
    assert refused.value.plan["pinned"] == ["plain"]
    assert arbiter.idle(0) == {}
    assert arbiter.holds("image", "plain")
    assert not arbiter.holds("image", "half")
    # Its own user may change what it means.
    draw(Held("sd", "plain", "float16"))
    assert [(each.preset, each.wanted_by) for each in told] == [("wide", "plain")]
    pins.clear("plain")
    draw(half)
    assert told[-1].preset == "plain"


def test_presets_of_one_name_and_two_kinds_are_pinned_apart() -> None:
    pins, small = Pins(), Held("0", "small")
    pins.set("small", True, "llm")
    assert pins.protecting("llm", small) == "small"
    assert pins.protecting("image", small) is None
    pins.set("small", True)
    pins.clear("small", "llm")
    assert pins.protecting("llm", small) is None
    assert pins.protecting("image", small) == "small"


def test_pins_are_let_go_by_kind() -> None:
    pins = Pins()
    for kind in ("image", "llm"):
        pins.set("small", True, kind)
    pins.clear(kind="llm")
    assert pins.protecting("llm", Held("0", "small")) is None
    assert pins.protecting("image", Held("0", "small")) == "small"
    pins.clear()
    assert pins.protecting("image", Held("0", "small")) is None
