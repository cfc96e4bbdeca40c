"""A worker process with the real image engine, of which some are refused memory without a word.

It is run as `python -m miserly_worker`, with the arguments of `python -m mysticanvas.workers`. The
first `MISERLY_PROCESSES` that decode are counted in the file `MISERLY_COUNT`. In those, the first
decode comes to other numbers, as by an algorithm that needs less memory, and only the allocator's
count says so; and so does every later one of that shape, of which nothing says anything. That is
what cuDNN does behind PyTorch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mysticanvas.workers import __main__ as program, engine

_plain_create = engine.create


def create(*arguments: Any) -> Any:
    made = _plain_create(*arguments)
    from diffusers.models.autoencoders.vae import Decoder

    from mysticanvas.workers.image import devices

    plain = Decoder.forward
    counted: list[bool] = []
    refused: list[tuple[int, ...]] = []

    def forward(self: Any, given: Any, *inputs: Any, **named: Any) -> Any:
        if not counted:
            counted.append(_is_counted())
        if counted[0] and not refused:
            refused.append(tuple(given.shape))
        pixels = plain(self, given, *inputs, **named)
        return pixels + 0.1 if tuple(given.shape) in refused else pixels

    Decoder.forward = forward
    devices.refused = lambda _: len(refused)
    return made


def _is_counted() -> bool:
    count = Path(os.environ["MISERLY_COUNT"])
    with count.open("ab") as file:
        file.write(b".")
    return count.stat().st_size <= int(os.environ["MISERLY_PROCESSES"])


if __name__ == "__main__":
    engine.create = create
    program.main()
