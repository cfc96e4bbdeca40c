"""Results as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MIB = 1 << 20
_NONE = "–"


def markdown(results: Mapping[str, Any]) -> str:
    """The results of a run: what they come to, each point, what the device is like."""
    device = results["device"]
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items() if value)
    parts = [
        f"# Predictions of memory on {device['name']}",
        f"Taken {results['at'][:10]} with {versions}. A deviation is predicted / measured - 1. "
        "Corrections are learned from the points that are marked as fitted and judged on the "
        "others; predictions were written down before the first measurement.",
        "## Points that were held out",
        _grid(_SUMMARY_HEAD, _summaries(results["summary"])),
        _grid(_PHASE_HEAD, _phases(results["summary"])),
        "## Each point, MiB",
        _grid(_POINT_HEAD, (_point(each) for each in results["rows"])),
        "## The device",
        "\n".join(f"* {line}" for line in _probes(results)),
    ]
    for lack, left_out in (("memory", results.get("too_large")), ("time", results["not_measured"])):
        if left_out:
            parts += [f"Not measured, for lack of {lack}: {', '.join(left_out)}."]
    return "\n\n".join(parts) + "\n"


_SUMMARY_HEAD = (
    "model", "points", "peak given out: mean", "worst", "corrected: mean", "worst",
    "reserved: mean", "worst", "device: mean", "worst", "above prediction + margin",
    "device above plan",
)  # fmt: skip
_PHASE_HEAD = (
    "model", "phase", "all: mean", "worst", "activations: mean", "worst", "corrected: mean",
    "worst",
)  # fmt: skip
_POINT_HEAD = (
    "point", "", "predicted", "measured", "dev.", "corrected", "reserved: predicted", "measured",
    "dev.", "device: predicted", "measured", "dev.", "s",
)  # fmt: skip


def _summaries(summary: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for model, found in summary.items():
        yield (
            model, str(found["points"]),
            *_spread(found["allocated"]), *_spread(found["calibrated"]),
            *_spread(found["reserved"]), *_spread(found["device"]),
            _count(found["beyond_safety"]), _count(found["beyond_plan"]),
        )  # fmt: skip


def _phases(summary: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for model, found in summary.items():
        for phase, spread in found["phases"].items():
            yield (
                model, phase, *_spread(spread), *_spread(found["activations"].get(phase)),
                *_spread(found["activations_calibrated"].get(phase)),
            )  # fmt: skip


def _point(row: Mapping[str, Any]) -> Sequence[str]:
    if "error" in row:
        return (row["name"], row["group"], f"failed: {row['error'][:80]}")
    guess, found, off = row["predicted"], row["measured"], row["deviations"]
    return (
        row["name"], row["group"],
        _mib(guess["allocated"]), _mib(found["allocated"]), _percent(off["allocated"]),
        _percent(off["calibrated"]),
        _mib(guess["reserved"]), _mib(found["reserved"]), _percent(off["reserved"]),
        _mib(guess["device"]), _mib(found["device"]), _percent(off["device"]),
        f"{row['seconds']:.1f}",
    )  # fmt: skip


def _probes(results: Mapping[str, Any]) -> Iterable[str]:
    probes = results["probes"]
    for name in ("context", "libraries_outside", "workspace"):
        if probes.get(name) is not None:
            yield f"{_PROBES[name]}: {_mib(probes[name])} MiB."
    if probes.get("growing"):
        yield f"Segments that grow, asked for and accepted: {probes['growing'].get('accepted')}."
    yield f"Segments of workers grow: {results['worker_segments_grow']}."
    yield (
        f"The driver shows processes: {probes.get('nvml_pids')}; ours among them: "
        f"{probes.get('nvml_shows_ours')}."
    )
    for found in probes.get("convolutions") or []:
        yield (
            f"Convolution {found['dtype']} {found['shape']}: {_mib(found['measured'])} MiB beside "
            f"its tensors, {_mib(found['rule'])} by the rule."
        )
    for model, found in results["attention"].items():
        yield f"Attention of {model}: {found.get('operations', found.get('error'))}."
        if found.get("back_after_ms") is not None:
            yield (
                f"Unloading {model}: {found['release_ms']:.0f} ms, back on the device "
                f"{found['back_after_ms']:.0f} ms later."
            )
    backs = [row["back_ms"] for row in results["rows"] if row.get("back_ms") is not None]
    if backs:
        yield f"After a process ended, its memory was back within {max(backs):.0f} ms at most."


_PROBES = {
    "context": "Context of a process, outside of the allocator",
    "libraries_outside": "What kernels of libraries take beside, once they have run",
    "workspace": "What cuBLAS keeps of the allocator's memory",
}


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_line(head), _line(["---"] * len(head))]
    return "\n".join([*lines, *(_line([*row, *[""] * (len(head) - len(row))]) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(found: Mapping[str, Any] | None) -> tuple[str, str]:
    return (_NONE, _NONE) if found is None else (f"{found['mean']:.2f} %", _percent(found["worst"]))


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:+.2f} %"


def _mib(size: float | None) -> str:
    return _NONE if size is None else f"{size / _MIB:,.0f}"


def _count(value: int | None) -> str:
    return _NONE if value is None else str(value)
