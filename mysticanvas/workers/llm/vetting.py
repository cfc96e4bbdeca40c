"""A look into a GGUF file by a process of its own, before llama.cpp is let near it in this one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from mysticanvas import processes
from mysticanvas.contracts.llm import ContextParams, Inspection, InspectionAnswer, InspectionOrder
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.llm import probing

INSPECTOR = "mysticanvas.workers.llm.inspector"
TIMEOUT_S = 60.0
"""A vocabulary of a quarter of a million tokens takes a second, on a busy machine some."""
_OUTPUT_BYTES = 1 << 16


def vet(
    path: Path,
    contexts: list[ContextParams],
    n_gpu_layers: int = -1,
    timeout_s: float = TIMEOUT_S,
    mmproj: str | None = None,
) -> Inspection:
    """Have a file inspected.

    Args:
        path: of a GGUF file.
        contexts: those that it is to be loaded with.
        n_gpu_layers: layers that go to the GPU; -1 for all.
        timeout_s: seconds that it may take.
        mmproj: path of the file with which the model sees.

    Raises:
        ModelFileError: it is damaged or refused, or the process crashed or hung over it.
        OutOfMemory: a GPU has no room to look at it.
        InvalidRequest: the model cannot have such a context.
    """
    order = InspectionOrder(
        path=str(path), mmproj=mmproj, n_gpu_layers=n_gpu_layers, contexts=contexts
    )
    told, ending = _ask(order, timeout_s)
    if told is None:
        if n_gpu_layers and _is_sound_without_gpu(order, timeout_s):
            raise probing.no_room_to_look(path)
        raise ModelFileError(
            f"llama.cpp {ending} while it looked into {path}.",
            hint="The file is damaged, made to do harm, or of a kind that llama.cpp does not know. "
            "Everything else goes on.",
        )
    if told.problem is not None:
        raise told.problem.to_error()
    assert told.inspection is not None
    return told.inspection


def _is_sound_without_gpu(order: InspectionOrder, timeout_s: float) -> bool:
    """Whether it is the GPU, and not the file, over which llama.cpp ended: without room for a
    context there, it aborts as it does over hostile files."""
    told, _ = _ask(order.model_copy(update={"n_gpu_layers": 0}), timeout_s)
    return told is not None and told.problem is None


def _ask(order: InspectionOrder, timeout_s: float) -> tuple[InspectionAnswer | None, str]:
    """What the process answered, and how it ended if it did not."""
    environment = child_environment(engine_environment(1))
    spawned = processes.spawn(
        INSPECTOR,
        ["--parent-pid", str(os.getpid())],
        environment=environment,
        secret=order.model_dump_json().encode(),
    )
    process = spawned.process
    assert spawned.output is not None
    assert process.stdin is not None
    # What it writes is nothing to us, but a full pipe would hold it up.
    drain = threading.Thread(target=_read_all, args=(spawned.output.fileno(),), daemon=True)
    drain.start()
    timed_out = threading.Event()

    def give_up() -> None:
        timed_out.set()
        processes.kill_group(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout_s, give_up)
    timer.start()
    try:
        report = spawned.read_ready()
        code = process.wait()
    finally:
        timer.cancel()
        processes.kill_session(process.pid, signal.SIGKILL)
        drain.join()
        process.stdin.close()
        spawned.output.close()
    if timed_out.is_set():
        return None, f"did not come back within {timeout_s:g} s"
    return _parsed(report), _in_words(code)


def _read_all(descriptor: int) -> None:
    while os.read(descriptor, _OUTPUT_BYTES):
        pass


def _parsed(report: Mapping[str, object] | None) -> InspectionAnswer | None:
    try:
        return None if report is None else InspectionAnswer.model_validate(report)
    except ValidationError:
        return None


def _in_words(code: int) -> str:
    return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with {code}"
