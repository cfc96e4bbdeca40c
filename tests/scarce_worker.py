"""A worker process with the real image engine, of which some have no memory to decode.

It is run as `python -m scarce_worker`, with the arguments of `python -m mysticanvas.workers`. The
first `SCARCE_PROCESSES` that come to decode are counted in the file `SCARCE_COUNT`; whatever they
decode in whatever way, they ask PyTorch for more memory than there is.
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

    plain = Decoder.forward
    scarce: list[bool] = []

    def forward(self: Any, *inputs: Any, **named: Any) -> Any:
        if not scarce:
            scarce.append(_is_counted())
        if scarce[0]:
            import torch

            torch.empty(1 << 50)
        return plain(self, *inputs, **named)

    Decoder.forward = forward
    return made


def _is_counted() -> bool:
    count = Path(os.environ["SCARCE_COUNT"])
    with count.open("ab") as file:
        file.write(b".")
    return count.stat().st_size <= int(os.environ["SCARCE_PROCESSES"])


if __name__ == "__main__":
    engine.create = create
    program.main()
