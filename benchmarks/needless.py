"""Whether room was made without need: a decision is judged by the figures that it left in the log.

Not by asking the policy again, which would agree with itself. The order of measures is written down
here a second time, and all that could have been done instead is gone through by plain sums.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

_ORDER = ("proceed", "soft_unload", "mitigate", "hard_unload", "offload")
_KINDS = ("soft_unload", "hard_unload")
_ROUNDING_MIB = 0.01

Grounds = Mapping[str, Any]
"""A line `room_decided` of the log; see `mysticanvas/orchestrator/arbiter/grounds.py`."""
_Unloads = frozenset[tuple[str, str]]
"""Workers, each with what is done to it: its context is dropped, or it is ended."""


def fault(line: Grounds, budget_mib: float | None = None) -> str | None:
    """What is wrong with a decision; None if nothing is.

    Args:
        budget_mib: what all workers may take together, which has to be what they have and what is
            free; None if that is not known.
    """
    return _of_sums(line, budget_mib) or _of_need(line)


def _of_sums(line: Grounds, budget_mib: float | None) -> str | None:
    has = {each["worker"]: each for each in line["others"]}
    for each in line["unloads"]:
        holds = has[each["worker"]][_gives(each["kind"])]
        if abs(holds - each["frees_mib"]) > _ROUNDING_MIB:
            return f"counts on {each['frees_mib']:.0f} MiB of {holds:.0f} that {each['worker']} has"
    if line["needed_mib"] > _room(line, _done(line)) + _ROUNDING_MIB:
        return "is not enough"
    # What others have and what they were promised; the latter is still free.
    others = sum(each["model_mib"] for each in line["others"])
    taken = line["held_mib"] + others - line["committed_mib"]
    free = line["free_mib"]
    if budget_mib is not None and abs(max(0.0, budget_mib - taken) - free) > _ROUNDING_MIB:
        return f"takes {free:.0f} MiB for free of {budget_mib:.0f}, of which {taken:.0f} are taken"
    return None


def _of_need(line: Grounds) -> str | None:
    done, names = _done(line), line["mitigations"]
    chosen = next(way["kind"] for way in line["ways"] if way["mitigations"] == names)
    decided = _level(chosen, done)
    for way in line["ways"]:
        for unloads in _possible(line):
            fits = way["mib"] <= _room(line, unloads) - _ROUNDING_MIB
            level = _level(way["kind"], unloads)
            less = level == decided and way["mitigations"] == names and unloads < done
            if fits and (level < decided or less):
                what = ", ".join([*way["mitigations"], *(" of ".join(each) for each in unloads)])
                return f"{what or 'nothing'} would have been enough"
    return None


def _possible(line: Grounds) -> Iterator[_Unloads]:
    """All that could be done to others, nothing included."""
    choices = [
        [(), *(((each["worker"], kind),) for kind in _KINDS if each[_gives(kind)])]
        for each in line["others"]
        if each["may_go"]
    ]
    for chosen in itertools.product(*choices):
        yield frozenset(itertools.chain.from_iterable(chosen))


def _gives(kind: str) -> str:
    return "context_mib" if kind == "soft_unload" else "model_mib"


def _done(line: Grounds) -> _Unloads:
    return frozenset((each["worker"], each["kind"]) for each in line["unloads"])


def _room(line: Grounds, unloads: _Unloads) -> float:
    """What the request could have after these."""
    others = {each["worker"]: each for each in line["others"]}
    given = sum(others[worker][_gives(kind)] for worker, kind in unloads)
    return float(line["held_mib"] + line["free_mib"] - line["committed_mib"] + given)


def _level(kind: str, unloads: _Unloads) -> int:
    return max(_ORDER.index(each) for each in (kind, *(done for _, done in unloads)))
