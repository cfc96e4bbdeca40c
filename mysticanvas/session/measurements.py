"""What jobs took of the memory, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, get_args

from mysticanvas.contracts.measurements import Accuracy, JobMemory, Measurement
from mysticanvas.contracts.tracing import Phase

if TYPE_CHECKING:
    import pandas as pd

By = Literal["job", "phase"]

_MIB = 1 << 20
_PHASES: tuple[Phase, ...] = get_args(Phase)
_ABOUT = ("preset", "device", "width", "height", "num_images", "mitigations")
_JOB = (
    "job",
    "projected_mib",
    "actual_mib",
    *(f"{phase}_{what}_mib" for phase in _PHASES for what in ("projected", "actual")),
    *_ABOUT,
    "ran_out",
    "seconds",
    "created_at",
)
_PHASE = (
    "job",
    "phase",
    "projected_mib",
    "corrected_mib",
    "actual_mib",
    "known",
    *_ABOUT,
    "ran_out",
    "seconds",
    "created_at",
)
_ACCURACY = ("device", "preset", "phases", "mean", "worst", "under")


def by_job(measured: Iterable[Measurement]) -> pd.DataFrame:
    """A row for each run of a job, in the order of the measurements."""
    runs = groupby(measured, lambda each: (each.job_id, each.attempt))
    return _table([_job(list(phases)) for _, phases in runs], _JOB)


def by_phase(measured: Iterable[Measurement]) -> pd.DataFrame:
    """A row for each phase of each job, in the order of the measurements."""
    rows = [
        {
            "job": each.job_id,
            "phase": each.phase,
            "projected_mib": _mib(each.projected),
            "corrected_mib": _mib(each.corrected),
            "actual_mib": _mib(each.actual),
            "known": each.known,
            **_about(each),
            "ran_out": each.at_least,
            "seconds": each.seconds,
            "created_at": each.created_at,
        }
        for each in measured
    ]
    return _table(rows, _PHASE)


def accuracy(found: Iterable[Accuracy]) -> pd.DataFrame:
    """A row for all measurements, and one for each device and preset."""
    return _table([each.model_dump() for each in found], _ACCURACY)


def _job(phases: Sequence[Measurement]) -> dict[str, Any]:
    whole, last = JobMemory.of(phases), phases[-1]
    row: dict[str, Any] = {
        "job": whole.job_id,
        "projected_mib": whole.projected_mib,
        "actual_mib": whole.actual_mib,
        **_about(last),
        "ran_out": any(each.at_least for each in phases),
        "seconds": last.run_seconds,
        "created_at": last.created_at,
    }
    # Of a phase that was begun again, the last time counts.
    for each in phases:
        row[f"{each.phase}_projected_mib"] = _mib(each.corrected)
        row[f"{each.phase}_actual_mib"] = _mib(each.actual)
    return row


def _about(measured: Measurement) -> dict[str, Any]:
    return {name: getattr(measured, name) for name in _ABOUT}


def _mib(size: int | None) -> float | None:
    return None if size is None else size / _MIB


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(columns))
    # Numbers also where nothing was predicted, and in a table without rows.
    numbers = [name for name in columns if name.endswith("_mib") or name in _NUMBERS]
    return table.astype(dict.fromkeys(numbers, "float64"))


_NUMBERS = ("seconds", "mean", "worst", "under")
