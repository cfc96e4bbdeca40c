"""Another try when memory runs out, also where nobody says that it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from mysticanvas import logs
from mysticanvas.workers.image import devices

T = TypeVar("T")
_log = logs.get(__name__)


class Refused(MemoryError):
    """A library was refused memory and went on by another algorithm, of which nothing is said: the
    numbers are others by rounding, and the process keeps to that algorithm for what has this shape.

    Attributes:
        result: what was computed; None if memory ran out altogether later.
    """

    def __init__(self, result: Any = None) -> None:
        super().__init__("a library was refused memory")
        self.result = result


class Refusals:
    """Watches what is computed for memory that a device refuses."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._apart = 0

    def usual(self, work: Callable[[], T]) -> T:
        """What `work` comes to, computed as it is where there is memory.

        Raises:
            Refused: it was computed otherwise.
            Exception: what `work` raised.
        """
        before = self._count
        try:
            result = work()
        except Exception as error:
            # What PyTorch itself raises was refused, too.
            told = isinstance(error, torch.OutOfMemoryError)
            if devices.is_out_of_memory(error) and self._count - before > told:
                raise Refused from error
            raise
        if self._count > before:
            raise Refused(result)
        return result

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What runs in it, within what is watched, is none of it."""
        before = self._count
        try:
            yield
        finally:
            self._apart += self._count - before

    @property
    def _count(self) -> int:
        return devices.refused(self._device) - self._apart


class Found(NamedTuple, Generic[T]):
    """What a way came to."""

    place: int
    """Of the way."""
    result: T
    is_usual: bool = True
    """Whether it is what it would be with memory for everybody."""


def first_that_fits(
    stage: str,
    device: torch.device,
    ways: Sequence[Callable[[], T]],
    alike: bool = False,
    leave: bool = False,
) -> Found[T]:
    """Go one way after the other until the memory is enough.

    Args:
        stage: for the log.
        ways: at least one.
        alike: whether all of them compute the same. Then none does it as usual in this process once
            a library was refused memory.
        leave: whether what comes of it then is taken all the same.

    Raises:
        Exception: what the last way raised, or any that is not about memory.
        Refused: none of them does it as usual any more, and there is no leave.
    """
    is_usual = True
    for place, way in enumerate(ways):
        try:
            return Found(place, way(), is_usual)
        except Exception as error:
            if not devices.is_out_of_memory(error):
                raise
            refused, left = isinstance(error, Refused), len(ways) - place - 1
            _log.warning("out_of_memory", stage=stage, tries=place + 1, left=left, refused=refused)
            if alike and isinstance(error, Refused):
                if leave and error.result is not None:
                    return Found(place, error.result, is_usual=False)
                is_usual = False
            if not left or not (is_usual or leave):
                raise
        # Out here the traceback is gone, and with it the tensors that its frames held.
        devices.release_memory(device)
    raise AssertionError("no way was given")
