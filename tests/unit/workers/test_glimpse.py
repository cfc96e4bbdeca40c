"""Whoever asks how a worker is gets an answer, whatever the driver of its device does."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.workers.glimpse import Glimpse


class Sighted:
    """An engine on a GPU whose driver fails, or does not answer, where it is told to."""

    models: list[str] = []
    device_kind: DeviceKind = "cuda"

    def __init__(self) -> None:
        self.free_mib = 700.0
        self.failure: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def unload(self) -> None: ...

    @property
    def device_memory(self) -> DeviceMemory:
        self.answers.wait()
        if self.failure is not None:
            raise self.failure
        return DeviceMemory(name="cuda:GPU", total_mib=1_000, free_mib=self.free_mib)


async def free(glimpse: Glimpse, engine: Sighted) -> float | None:
    seen = await asyncio.wait_for(glimpse.of(engine), 10)
    return None if seen is None else seen.free_mib


def test_what_is_seen_is_what_is_there_now() -> None:
    async def body() -> None:
        glimpse, engine = Glimpse(), Sighted()
        assert await free(glimpse, engine) == 700
        engine.free_mib = 300
        assert await free(glimpse, engine) == 300
        assert await glimpse.of(None) is None

    asyncio.run(body())


@pytest.mark.fault("a GPU that cannot be asked any more", "the worker tells what was seen last")
def test_a_device_that_fails_is_as_it_was_last_seen() -> None:
    async def body() -> None:
        glimpse, engine = Glimpse(), Sighted()
        engine.failure = RuntimeError("CUDA error: unspecified launch failure")
        assert await free(glimpse, engine) is None
        engine.failure = None
        assert await free(glimpse, engine) == 700
        engine.failure = RuntimeError("CUDA error: unspecified launch failure")
        assert await free(glimpse, engine) == 700

    asyncio.run(body())


@pytest.mark.fault("a driver that does not answer", "the worker tells what was seen last")
def test_a_device_that_does_not_answer_is_not_waited_for() -> None:
    async def body() -> None:
        glimpse, engine = Glimpse(), Sighted()
        assert await free(glimpse, engine) == 700
        engine.answers.clear()
        engine.free_mib = 300
        try:
            assert [await free(glimpse, engine) for _ in range(3)] == [700] * 3
        finally:
            engine.answers.set()
        while await free(glimpse, engine) == 700:
            pass
        assert await free(glimpse, engine) == 300

    asyncio.run(body())
