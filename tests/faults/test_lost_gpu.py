"""A GPU that was there, and that no later process of the worker finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from house import House

from mysticanvas.contracts.vram import DeviceMemory

GPU = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=15_000)

pytestmark = [
    pytest.mark.timeout(0),
    pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA"),
]


@pytest.mark.fault("a GPU that is lost between two processes", "said; nothing is drawn on the CPU")
def test_a_gpu_that_is_gone_is_told_and_the_cpu_does_not_stand_in_for_it(
    tmp_path: Path, tiny_sd: Path
) -> None:
    house = House(tmp_path / "home", worker_module="mysticanvas.workers", model=tiny_sd)
    # As a process before has said, whose GPU this machine does not have.
    house.worker._life = house.worker._life._replace(device_kind="cuda", gpu=GPU)
    with house:
        job = house.submit()
        status = house.until(lambda status: status.restarts == 1)
        alert, record = house.alerts[0], house.store.jobs.get(job).record
        assert house.rows() == 0
    assert (alert.kind, alert.worker) == ("worker_restart", "image")
    for words in ("The GPU is gone", "nvidia-smi", "MYSTICANVAS_DEVICE=cpu", "started again"):
        assert words in alert.message
    # Not one that counts against the job, which waits for another process.
    assert record.status in ("queued", "running")
    assert status.device_kind == "cuda"
