"""What was not used for a while gives its memory back."""

from __future__ import annotations

import threading
import time

import pytest
from arbiters import WAIT_S, carried_out

from benchmarks.tenants import Machine, Tenant
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.keep_alive import KeepAlive

pytestmark = pytest.mark.usefixtures("hurried_arbiter")


def test_keep_alive_ends_while_another_has_the_device() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    keep_alive = KeepAlive(arbiter, ["llm"], keep_alive_s=0)

    def prepare() -> None:
        keep_alive.start()
        keep_alive._thread.join(0.1)
        keep_alive.stop()

    with arbiter.admitted("image", prepare):
        assert chat.done == []


def test_what_was_not_used_for_a_while_is_named() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    assert arbiter.idle(1e9) == {"llm": "chat"}
    carried_out(arbiter, "llm", 3_000)
    assert arbiter.idle(1e9) == {}
    assert arbiter.idle(0) == {"llm": "chat"}
    with arbiter.admitted("llm", lambda: None):
        assert arbiter.idle(0) == {}
        arbiter.retire("llm", "test")
    assert chat.preset == "chat"
    arbiter.retire("llm", "test")
    assert chat.preset is None


def test_a_model_that_is_used_while_another_has_its_turn_is_not_unloaded_for_idleness() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    keep_alive = KeepAlive(arbiter, ["llm"], keep_alive_s=300)
    looks = threading.Thread(target=keep_alive.look)

    def prepare() -> None:
        """While the arbiter is another's, keep-alive finds the model idle, which then is used."""
        looks.start()
        looks.join(0.1)
        assert looks.is_alive()
        arbiter._used_at["llm"] = time.monotonic()

    with arbiter.admitted("image", prepare):
        pass
    looks.join(WAIT_S)
    assert chat.done == []
    del arbiter._used_at["llm"]
    keep_alive.look()
    assert chat.done == ["retire"]
