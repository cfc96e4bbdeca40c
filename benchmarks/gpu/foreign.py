"""A process of somebody else's that takes a device's memory when it is told to.

It is run as `python -m benchmarks.gpu.foreign DEVICE`. A line `take BYTES LEAST` has it take so
much, or what there is of it if `LEAST` bytes are to stay free; `drop` gives all back. Each is
answered with a line of JSON: what it has, and what is free then.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from benchmarks.gpu.fleet import ROOT

MIB = 1 << 20
_SMALLER = 32 * MIB
_REHEARSED = 1 * MIB
"""Taken of the system's memory instead, where nothing is to be short of it."""


class Has(NamedTuple):
    """What it has, and what it leaves, in MiB."""

    held_mib: float
    free_mib: float
    """Zero where nobody tells."""


class Foreign:
    """Somebody else with a context on the device.

    Args:
        device: `cuda` or `cpu`.
    """

    def __init__(self, device: str) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.foreign", device],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def look(self) -> Has:
        """What is free now, as it sees the device; waits for its start."""
        return self._ask("look")

    def take(self, mib: float, least_mib: float = 0.0) -> Has:
        """Have it take so much at most, and leave at least so much."""
        return self._ask(f"take {round(mib * MIB)} {round(least_mib * MIB)}")

    def drop(self) -> Has:
        """Have it give back what it took, but for its context."""
        return self._ask("drop")

    @contextmanager
    def leaving(self, mib: float) -> Iterator[Has]:
        """Have it leave no more than so much, for as long as the block runs."""
        has = self.take(max(0.0, self.look().free_mib - mib))
        try:
            yield has
        finally:
            self.drop()

    def end(self) -> None:
        """Have it end, with its context."""
        self._process.kill()
        # Waits, and closes the pipes.
        self._process.communicate()

    def _ask(self, what: str) -> Has:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return Has(answer["held"] / MIB, answer["free"] / MIB)


def main(device: str) -> None:
    """Carry out orders until there are no more."""
    held: list[torch.Tensor] = []
    torch.zeros(1, device=device)
    for line in sys.stdin:
        what, *numbers = line.split()
        if what != "look":
            held.clear()
            _give_back(device)
        if what == "take":
            held += _taken(device, *map(int, numbers))
        size = sum(each.numel() for each in held)
        print(json.dumps({"held": size, "free": _free(device)}), flush=True)


def _taken(device: str, most: int, least: int) -> list[torch.Tensor]:
    if device != "cuda":
        return [torch.ones(_REHEARSED, dtype=torch.uint8)]
    size = min(most, _free(device) - least)
    while size > 0:
        try:
            return [torch.empty(size, dtype=torch.uint8, device=device)]
        except torch.OutOfMemoryError:
            size -= _SMALLER
    return []


def _free(device: str) -> int:
    return torch.cuda.mem_get_info()[0] if device == "cuda" else 0


def _give_back(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main(*sys.argv[1:])
