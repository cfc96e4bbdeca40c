"""What NVIDIA's driver says of a GPU, without the memory that a context of CUDA would take."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from mysticanvas import logs
from mysticanvas.contracts.vram import DeviceMemory

BY_BUS = "PCI_BUS_ID"
"""The order of CUDA's devices that is the driver's as well, which our processes are told to keep to
by default: so both mean the same GPU."""
_MIB = 1 << 20
PATIENCE_S = 10.0
"""Seconds in which a driver answers that is well, were it to be woken up for that."""
AGAIN_S = 5.0
"""Seconds at least between two times that the library is set up, which is of no use where there is
no driver."""
_NOT_TOLD = {3, 4, 6, 13}
"""What NVML answers who asks for what is not supported, not permitted, not found or, of an older
driver, not known: `NVML_ERROR_…` of the same names. No failures of the library."""
_AMPERE = 8
"""Major compute capability from which on there is bfloat16."""
_log = logs.get(__name__)


def memory() -> DeviceMemory | None:
    """The memory of the first GPU that this process is shown; None if there is no driver, or it
    does not say."""
    found = told(
        lambda library, gpu: (library.nvmlDeviceGetMemoryInfo(gpu), library.nvmlDeviceGetName(gpu))
    )
    if found is None:
        return None
    seen, name = found
    return DeviceMemory(name=f"cuda:{name}", total_mib=seen.total / _MIB, free_mib=seen.free / _MIB)


def free_mib() -> float | None:
    """What that GPU has left, in MiB; None where the driver does not say."""
    seen = memory()
    return None if seen is None else seen.free_mib


def own_mib(pid: int) -> float | None:
    """What the driver counts to a process; None where it does not say. In containers it often knows
    processes by other numbers, or tells nothing of them."""
    running = told(lambda library, gpu: library.nvmlDeviceGetComputeRunningProcesses(gpu)) or ()
    # None of one that is there, too.
    taken = next((each.usedGpuMemory for each in running if each.pid == pid), None)
    return None if taken is None else taken / _MIB


def has_bfloat16() -> bool:
    """Whether it computes in bfloat16 itself, which is far quicker than as another format; taken to
    be so where the driver has never said."""
    found = told(lambda library, gpu: library.nvmlDeviceGetCudaComputeCapability(gpu))
    # A driver that says nothing any more has not become another card.
    _DRIVER.capability = found or _DRIVER.capability
    return _DRIVER.capability is None or _DRIVER.capability[0] >= _AMPERE


def told(ask: Callable[[Any, Any], Any]) -> Any:
    """What the library answers of the device; None if there is none, or it does not say."""
    return _DRIVER.told(ask)


class Driver:
    """NVIDIA's library, asked on a thread that nobody minds: a driver that is ill may keep whoever
    asks it for good.

    A library that fails is given back and set up anew, since what it knows of a device is of no use
    once that was reset or the driver loaded anew, which it would stand in the way of as well.
    """

    def __init__(self) -> None:
        self.capability: tuple[int, int] | None = None
        """Of the card, as it was last told."""
        self._turn = threading.Lock()
        self._hangs = False
        self._open: tuple[Any, Any] | None = None
        self._again_at = 0.0

    def told(self, ask: Callable[[Any, Any], Any]) -> Any:
        """What `told` says."""
        if not self._turn.acquire(timeout=0.0 if self._hangs else PATIENCE_S):
            return None
        answered: Future[Any] = Future()

        def answer() -> None:
            try:
                answered.set_result(self._answer(ask))
            except BaseException as error:  # noqa: BLE001  # it is raised where it was asked
                answered.set_exception(error)
            finally:
                self._hangs = False
                self._turn.release()

        try:
            threading.Thread(target=answer, name="nvidia", daemon=True).start()
        except RuntimeError:
            # The system gives no more threads.
            self._turn.release()
            return None
        try:
            return answered.result(PATIENCE_S)
        except TimeoutError:
            self._hangs = not answered.done()
            _log.warning("gpu_driver_hangs")
            return None

    def _answer(self, ask: Callable[[Any, Any], Any]) -> Any:
        if self._open is None:
            self._set_up()
        try:
            return self._asked(ask)
        except _Failed:
            if not self._set_up():
                return None
        with contextlib.suppress(_Failed):
            return self._asked(ask)

    def _asked(self, ask: Callable[[Any, Any], Any]) -> Any:
        if self._open is None or self._open[1] is None:
            return None
        library, handle = self._open
        try:
            return ask(library, handle)
        except library.NVMLError as error:
            _log.info("gpu_not_told", error=str(error))
            if error.value in _NOT_TOLD:
                return None
            raise _Failed from error

    def _set_up(self) -> bool:
        """Have the library anew, unless that was tried just now; whether it was tried."""
        if time.monotonic() < self._again_at:
            return False
        if self._open is not None:
            _close(self._open[0])
        self._open = _opened()
        self._again_at = time.monotonic() + AGAIN_S
        return True


class _Failed(Exception):
    """The library did not answer, for another reason than that it cannot tell."""


_DRIVER = Driver()


def _opened() -> tuple[Any, Any] | None:
    """The library, and the first device, or None if it is not known which that is; None if there is
    no driver."""
    # Late: where there is no GPU, nobody pays for it.
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        _log.info("no_gpu_driver", error=str(error))
        return None
    try:
        handle = _handle(
            pynvml,
            os.environ.get("CUDA_VISIBLE_DEVICES"),
            os.environ.get("CUDA_DEVICE_ORDER", BY_BUS),
        )
    except pynvml.NVMLError as error:
        _log.info("no_gpu_driver", error=str(error))
        _close(pynvml)
        return None
    return pynvml, handle


def _close(library: Any) -> None:
    with contextlib.suppress(library.NVMLError):
        library.nvmlShutdown()


def _handle(library: Any, visible: str | None, order: str) -> Any:
    """The first of those that processes are shown: by number, or by its id or the beginning of it;
    None if they are shown none, or it is not known which.

    Args:
        visible: `CUDA_VISIBLE_DEVICES`.
        order: `CUDA_DEVICE_ORDER`.
    """
    count = library.nvmlDeviceGetCount()
    first = "0" if visible is None else visible.partition(",")[0].strip()
    if first.startswith("MIG-"):
        return library.nvmlDeviceGetHandleByUUID(first)
    if first.startswith("GPU-"):
        every = map(library.nvmlDeviceGetHandleByIndex, range(count))
        found = [each for each in every if library.nvmlDeviceGetUUID(each).startswith(first)]
        return _whole(library, found[0]) if len(found) == 1 else None
    # The driver numbers them by the bus, CUDA by another order unless it is told that one.
    if not first.isdecimal() or int(first) >= count or (count > 1 and order != BY_BUS):
        return None
    return _whole(library, library.nvmlDeviceGetHandleByIndex(int(first)))


def _whole(library: Any, gpu: Any) -> Any:
    """It, unless it is divided, so that processes are shown a part of it."""
    try:
        mode, _ = library.nvmlDeviceGetMigMode(gpu)
    except library.NVMLError:
        # Of a kind that cannot be.
        return gpu
    return None if mode == library.NVML_DEVICE_MIG_ENABLE else gpu
