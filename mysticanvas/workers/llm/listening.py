"""What llama.cpp says while it works: how large its buffers are, and why it gave up.

Its log is the only place where it tells either. It is parsed, and kept out of ours but for errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import llama_cpp

from mysticanvas import logs
from mysticanvas.contracts.memory import Known, MemoryPart
from mysticanvas.vram import llm

_ERROR = 4  # GGML_LOG_LEVEL_ERROR; the constants of llama_cpp are those of an older ggml
_MAX_LINES = 10_000
_MAX_CHARS = 300
_NAMES = {
    "model": llm.WEIGHTS,
    "KV": llm.CACHE,
    "RS": llm.CACHE,
    "compute": llm.COMPUTE,
    "output": llm.OUTPUT,
}
_BUFFER = re.compile(r"(\S+) +(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")
_CACHE = re.compile(r": size = +([\d.]+) MiB \( *\d+ cells")
_PLACED = re.compile(r"layer +(\d+) assigned to device ([^\s,]+)")
_NO_MEMORY = re.compile(r"(failed|unable) to allocate|out of memory|bad_alloc", re.IGNORECASE)
_log = logs.get(__name__)


class Said:
    """The lines of a while."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether it could not have what it asked for."""
        return any(_NO_MEMORY.search(line) for line in self.errors)

    @property
    def reason(self) -> str:
        """Its last error, in its own words; empty if it named none."""
        told = [
            line.partition(": ")[2] or line for line in self.errors if "failed to load" not in line
        ]
        return (told or self.errors or [""])[-1].strip()[:_MAX_CHARS]


_listeners: list[Said] = []


def _hear(level: int, text: bytes, _: object) -> None:
    line = text.decode("utf-8", "replace").rstrip("\n")
    for listener in _listeners:
        if len(listener.lines) < _MAX_LINES:
            listener.lines.append(line)
            if level == _ERROR:
                listener.errors.append(line)
    if level == _ERROR:
        _log.warning("llama_cpp_error", said=line[:_MAX_CHARS])


# Kept, since llama.cpp calls it for as long as the process lives.
_callback = llama_cpp.llama_log_callback(_hear)
llama_cpp.llama_log_set(_callback, None)


@contextmanager
def listening() -> Iterator[Said]:
    """Take down what llama.cpp says meanwhile, on whichever thread."""
    said = Said()
    _listeners.append(said)
    try:
        yield said
    finally:
        _listeners.remove(said)


def buffers(lines: Iterable[str], known: Known = "measured") -> list[MemoryPart]:
    """The buffers that the lines tell of, one for each name and device, in MiB.

    Args:
        lines: of a load, or of a new context.
        known: `measured` if they were allocated, `probed` if llama.cpp only said what it would do.
    """
    sizes: dict[tuple[str, str], float] = {}
    for line in lines:
        if (match := _BUFFER.search(line)) is not None:
            device, what, mib = match.groups()
            key = (_NAMES[what], device)
            sizes[key] = sizes.get(key, 0.0) + float(mib)
    return [
        MemoryPart(name=name, device=device, mib=mib, known=known)
        for (name, device), mib in sizes.items()
    ]


def devices(lines: Iterable[str]) -> list[str]:
    """The device of each layer in the lines of a load, and at last of what stands behind them."""
    found = [match.groups() for line in lines if (match := _PLACED.search(line)) is not None]
    return [device for _, device in sorted(found, key=lambda each: int(each[0]))]


def cache_mib(lines: Iterable[str]) -> float:
    """What the caches take in MiB, told also where nothing is allocated."""
    return sum(float(match[1]) for line in lines if (match := _CACHE.search(line)) is not None)
