"""Peaks of a job, phase by phase, as the process itself sees them."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.profiler import ProfilerActivity, profile

from mysticanvas.workers.engine import Control
from mysticanvas.workers.report import Report

Peaks = dict[str, int]
"""Bytes: `allocated` and, on a GPU, `reserved` and `device`."""
PHASES = {"encode": "text_encode", "denoise": "denoise", "decode": "vae_decode"}
"""Stage of a worker's job -> phase of a prediction."""
SAMPLED_S = 0.005


class Meter(Protocol):
    """Notes the peaks of phases, one at a time."""

    phases: dict[str, Peaks]

    def begin(self, phase: str) -> None:
        """End the phase before, if there is one, and begin another."""

    def end(self) -> None:
        """End the last phase."""


def used() -> int:
    """Bytes that the GPU lacks, whoever has them."""
    free, total = torch.cuda.mem_get_info()
    return total - free


class CudaMeter:
    """Of PyTorch's allocator, and of the device by a thread that looks every few milliseconds."""

    def __init__(self) -> None:
        self.phases: dict[str, Peaks] = {}
        self._phase: str | None = None
        self._most = 0

    def begin(self, phase: str) -> None:
        self.end()
        torch.cuda.reset_peak_memory_stats()
        self._most = used()
        self._phase = phase

    def end(self) -> None:
        torch.cuda.synchronize()
        if self._phase is not None:
            self._look()
            found = {
                "allocated": torch.cuda.max_memory_allocated(),
                "reserved": torch.cuda.max_memory_reserved(),
                "device": self._most,
            }
            before = self.phases.get(self._phase, {})
            self.phases[self._phase] = {
                name: max(value, before.get(name, 0)) for name, value in found.items()
            }
        self._phase = None

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Look at the device until the end of the context."""
        done = threading.Event()

        def sample() -> None:
            while not done.wait(SAMPLED_S):
                self._look()

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _look(self) -> None:
        self._most = max(self._most, used())


class CpuMeter:
    """Of PyTorch's allocator for the CPU, by its profiler; weights are counted beside.

    Args:
        weights: bytes of the model.
    """

    def __init__(self, weights: int) -> None:
        self.phases: dict[str, Peaks] = {}
        self._weights = weights
        self._phase: str | None = None
        self._profiler: Any = None

    def begin(self, phase: str) -> None:
        self.end()
        gc.collect()
        self._phase = phase
        self._profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        self._profiler.start()

    def end(self) -> None:
        if self._phase is None:
            return
        self._profiler.stop()
        live = most = 0
        for event in self._profiler.profiler.kineto_results.events():
            if event.name() == "[memory]":
                live += event.nbytes()
                most = max(most, live)
        before = self.phases.get(self._phase, {"allocated": 0})["allocated"]
        self.phases[self._phase] = {"allocated": max(before, self._weights + most)}
        self._phase = None

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Nothing to look at."""
        yield


class PhaseReport(Report):
    """The report of a job, whose stages are a meter's phases."""

    def __init__(self, meter: Meter, synchronize: Callable[[], None]) -> None:
        super().__init__(lambda _: None, Control(), synchronize)
        self._meter = meter

    @contextmanager
    def stage(self, name: str, steps: int = 0) -> Iterator[None]:
        if name in PHASES:
            self._meter.begin(PHASES[name])
        else:
            self._meter.end()
        with super().stage(name, steps):
            yield


def split(pipeline: Any, meter: Meter) -> None:
    """Have the phases of a call that encodes and denoises begin with those of its models."""
    denoiser = pipeline.transformer
    begun = set()

    def before_denoising(*_: Any) -> None:
        if "denoise" not in begun:
            begun.add("denoise")
            meter.begin("denoise")

    denoiser.register_forward_pre_hook(before_denoising)
    encode = pipeline.encode_prompt

    def encoding(*args: Any, **kwargs: Any) -> Any:
        meter.begin("text_encode")
        return encode(*args, **kwargs)

    pipeline.encode_prompt = encoding


def waited(condition: Callable[[], bool], limit_s: float) -> float | None:
    """Seconds until a condition holds; None if it does not in time."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit_s:
            return None
        time.sleep(0.002)
    return time.monotonic() - began
