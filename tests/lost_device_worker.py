"""A worker process with the real image engine, whose device is lost as it denoises.

It is run as `python -m lost_device_worker`, with the arguments of `python -m mysticanvas.workers`.
The first `LOST_PROCESSES` that come to denoise are counted in the file `LOST_COUNT`. From then on
all that would reach a GPU raises what PyTorch raises once a kernel has failed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from mysticanvas.workers import __main__ as program, engine

TEXT = "CUDA error: unspecified launch failure"
_plain_create = engine.create


def create(*arguments: Any) -> Any:
    made = _plain_create(*arguments)
    from diffusers import UNet2DConditionModel

    from mysticanvas.workers.image import devices

    plain = UNet2DConditionModel.forward
    lost: list[bool] = []

    def forward(self: Any, *inputs: Any, **named: Any) -> Any:
        if not lost:
            lost.append(_is_counted())
        if lost[0]:
            for name in ("memory", "synchronize", "empty_cache", "release_memory"):
                setattr(devices, name, fail)
            fail()
        return plain(self, *inputs, **named)

    UNet2DConditionModel.forward = forward
    return made


def fail(*_: Any) -> NoReturn:
    import torch

    raise torch.AcceleratorError(f"{TEXT}\nCUDA kernel errors might be asynchronously reported")


def _is_counted() -> bool:
    count = Path(os.environ["LOST_COUNT"])
    with count.open("ab") as file:
        file.write(b".")
    return count.stat().st_size <= int(os.environ["LOST_PROCESSES"])


if __name__ == "__main__":
    engine.create = create
    program.main()
