"""What `auto` means for a process that follows another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mysticanvas.errors import WorkerCrashed
from mysticanvas.workers.engine import Options
from mysticanvas.workers.image import devices
from mysticanvas.workers.image.engine import ImageEngine

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


def test_a_gpu_that_was_there_is_not_replaced_by_a_cpu(tmp_path: Path) -> None:
    options = Options(images=tmp_path, before="cuda")
    with pytest.raises(WorkerCrashed, match="The GPU is gone") as caught:
        ImageEngine(options)
    assert "nvidia-smi" in caught.value.hint
    assert "MYSTICANVAS_DEVICE=cpu" in caught.value.hint


def test_a_cpu_that_is_set_or_was_all_there_was_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.choose("cpu", "cuda").type == "cpu"
    assert devices.choose("auto", "cpu").type == devices.choose("auto").type
    # A GPU that has come since is taken, as by a first process.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.choose("auto", "cpu").type == "cuda"
    assert devices.choose("auto", "cuda").type == "cuda"
