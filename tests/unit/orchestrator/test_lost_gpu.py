"""Processes of a worker that follow one which computed on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.errors import WorkerCrashed
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor import client, lifecycle, messages as m
from mysticanvas.orchestrator.supervisor.deadlines import USUAL
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.lifecycle import Life

GPU = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=15_000)


def life(messages: Sequence[m.Message]) -> Life:
    found = Life()
    for message in messages:
        found, _ = lifecycle.step(found, message, 1.0, USUAL)
    return found


def test_a_gpu_that_is_computed_on_no_longer_is_forgotten() -> None:
    """As an engine says that does not keep to what the one before did."""
    on_gpu = [
        *(m.Wanted(), m.Spawned(1, 77), m.Answered(1)),
        m.Beat(1, False, 400.0, 9000.0, device=GPU, device_kind="cuda"),
    ]
    assert life(on_gpu).gpu == GPU
    # In its import, the next one has nothing to say.
    assert life([*on_gpu, m.Beat(1, True, 65.0, 9000.0)]).gpu == GPU
    after = life([*on_gpu, m.Beat(1, False, 400.0, 9000.0, device_kind="cpu")])
    assert (after.device_kind, after.gpu) == ("cpu", None)


@pytest.mark.parametrize(
    ("wanted", "before", "told"),
    [
        (None, "cuda", ["--before", "cuda"]),
        (None, "mps", ["--before", "mps"]),
        (None, "cpu", []),
        (None, None, []),
        ("cpu", "cpu", []),
        ("cuda", "cuda", []),
    ],
)
def test_a_process_is_told_what_the_one_before_computed_on(
    tmp_path: Path, wanted: DeviceKind | None, before: DeviceKind | None, told: list[str]
) -> None:
    launch = Launch("image", ["-x"], {}, LogFile(tmp_path / "log"), device_kind=wanted)
    assert launch.after(before).arguments == ["-x", *told]


def test_the_first_one_is_told_what_an_earlier_orchestrator_s_computed_on(tmp_path: Path) -> None:
    launch = Launch("image", [], {}, LogFile(tmp_path / "log"), earlier="cuda")
    assert launch.after(None).arguments == ["--before", "cuda"]
    # What one of this orchestrator has said counts for more.
    assert launch.after("mps").arguments == ["--before", "mps"]
    assert launch._replace(device_kind="cpu").after(None).arguments == []


def test_a_process_without_an_engine_never_had_the_job() -> None:
    error = WorkerCrashed("The GPU is gone.", hint="Do this.", engineless=True)
    answer = Problem.of(error).model_dump_json().encode()
    with pytest.raises(client.Engineless) as caught:
        client._error(502, answer)
    assert isinstance(caught.value, client.Unreached)
    assert caught.value.words == "could not import its engine (The GPU is gone. Do this)"
