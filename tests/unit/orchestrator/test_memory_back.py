"""A worker is given no job before the device has the memory of the one before it back."""

from __future__ import annotations

from stories import READY, STARTED, S, Story

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.supervisor import messages as m
from mysticanvas.orchestrator.supervisor.lifecycle import MEMORY_BACK_S


def test_no_job_is_given_out_before_the_device_has_its_memory_back() -> None:
    story = Story(*READY, m.Exited(1, Ending(-9)))
    story.tell(
        m.Tick(),
        m.Spawned(2, 78),
        m.Answered(2),
        m.MemorySeen(9100.0),
        after_s=1.0,
    )
    assert (story.state, story.life.available) == (S.READY, False)
    story.tell(m.MemorySeen(9250.0))
    assert story.life.available


def test_nor_before_a_gpu_has_its_own_back() -> None:
    gpu = DeviceMemory(name="cuda:a", total_mib=24000.0, free_mib=10000.0)
    parts = (
        MemoryPart(name="weights.unet", mib=5000.0, device="cuda", known="exact"),
        MemoryPart(name="weights.text_encoder", mib=900.0, device="cpu", known="exact"),
    )
    on_gpu = m.Beat(1, False, 400.0, 9000.0, parts, gpu, "cuda")
    for seen, available in [(12400.0, False), (12600.0, True), (None, True)]:
        story = Story(*STARTED, m.Answered(1), on_gpu, m.Exited(1, Ending(-9)))
        story.tell(m.Tick(), m.Spawned(2, 78), m.Answered(2), after_s=1.0)
        story.tell(m.MemorySeen(9400.0, seen))
        assert story.life.available is available


def test_memory_that_does_not_come_back_is_waited_for_only_so_long() -> None:
    story = Story(*READY, m.Exited(1, Ending(-9)))
    story.tell(m.Tick(), m.Spawned(2, 78), m.Answered(2), after_s=1.0)
    story.tell(m.MemorySeen(0.0), after_s=MEMORY_BACK_S)
    assert story.life.available
