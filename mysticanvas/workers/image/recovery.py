"""Another try when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from mysticanvas import logs
from mysticanvas.workers.image import devices

T = TypeVar("T")
_log = logs.get(__name__)


def first_that_fits(
    stage: str, device: torch.device, ways: Sequence[Callable[[], T]]
) -> tuple[int, T]:
    """Go one way after the other until the memory is enough; its place, and what it gives.

    Args:
        stage: for the log.
        ways: at least one.

    Raises:
        Exception: what the last way raised, or any that is not about memory.
    """
    for place, way in enumerate(ways[:-1]):
        try:
            return place, way()
        except Exception as error:
            if not devices.is_out_of_memory(error):
                raise
            _log.warning("out_of_memory", stage=stage, tries=place + 1, left=len(ways) - place - 1)
        # Out here the traceback is gone, and with it the tensors that its frames held.
        devices.release_memory(device)
    return len(ways) - 1, ways[-1]()
