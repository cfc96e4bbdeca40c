"""Requests that are taken in, and what they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from intakes import Generate, an_intake
from mysticanvas_echo import make_model

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import GenerateRequest, JobRecord
from mysticanvas.contracts.params import parse
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store


@pytest.fixture
def intake(tmp_path: Path, store: Store, transitions: Transitions) -> Intake:
    return an_intake(tmp_path, store, transitions)


@pytest.fixture
def limited(tmp_path: Path, store: Store, transitions: Transitions) -> Intake:
    """One with a quota of 1 MiB."""
    return an_intake(tmp_path, store, transitions, disk_quota_mib=1)


@pytest.fixture
def generate(tmp_path: Path, intake: Intake) -> Generate:
    """Takes in a request for a picture by the model in `m`, or another; the job."""

    def generate(prompt: str = "a circle", **given: Any) -> JobRecord:
        params = parse(**{"prompt": prompt, "preset": str(tmp_path / "m"), **given})
        return intake.generate(GenerateRequest(params=params), key=new_id(), request_id="").job

    make_model(tmp_path / "m")
    return generate


@pytest.fixture
def recipe(store: Store, generate: Generate) -> Recipe:
    """That of a job."""
    task = store.jobs.get(generate().id).task
    assert task is not None
    return task.recipe
