"""What the device is like, asked before anything is predicted; and the profiles meanwhile."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu import nvml
from benchmarks.gpu.fleet import Answer, Child
from benchmarks.gpu.points import SETTINGS

LIMIT_S = 90.0


def device(threads: int) -> dict[str, Any]:
    """Probe a GPU: two processes at the same time, so that the second shows what one takes.

    Returns:
        Bytes of `context`, of `libraries_outside` the allocator and of the `workspace` within;
        `foreign` is what the device lacks without us. What failed is there as its `error`.
    """
    first, second = Child({}, threads), Child(SETTINGS["expandable"], threads)
    try:
        one = _ask(first, "context")
        two = _ask(second, "context")
        numbers = nvml.pids()
        growing = _ask(second, "growing")
        second.end()
        libraries = _ask(first, "libraries")
        convolutions = _ask(first, "convolutions")
    finally:
        first.kill()
        second.kill()
    found = {
        "first": one,
        "second": two,
        "libraries": libraries,
        "growing": growing,
        "convolutions": convolutions.get("rows", []),
        "convolutions_error": convolutions.get("error"),
        "copies_input": convolutions.get("copies_input", True),
        "nvml_pids": numbers,
        "nvml_shows_ours": None if numbers is None else first.pid in numbers,
        "nvml_driver": nvml.driver(),
    }
    return found | _sizes(one, two, libraries)


def _ask(child: Child, kind: str) -> Any:
    answer: Answer = child.ask({"kind": kind}, LIMIT_S)
    return answer.get("answer", answer)


def _sizes(one: Answer, two: Answer, libraries: Answer) -> dict[str, int | None]:
    known = "used" in one and "used" in two
    context = two["used"] - one["used"] if known else None
    outside = libraries["used"] - one["used"] if "used" in one and "used" in libraries else None
    return {
        "context": context,
        "libraries_outside": outside,
        "workspace": libraries.get("workspace"),
        "foreign": one["used"] - context if context is not None else None,
    }
