"""What a request becomes before it is queued."""

from __future__ import annotations

from pathlib import Path

import pytest
from mysticanvas_echo import make_model

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.contracts.mitigations import Allowed
from mysticanvas.contracts.params import parse
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.plugins import loading
from mysticanvas.settings import Settings
from mysticanvas.store import Store


@pytest.fixture
def intake(tmp_path: Path, store: Store, transitions: Transitions) -> Intake:
    settings = Settings(engine="echo", min_free_mib=0)
    plugins = loading.load(settings.plugins)
    presets = Presets(store, Inspector(), plugins, settings.engine)
    return Intake(store, transitions, {}, tmp_path, settings, presets)


@pytest.mark.parametrize("allowed", ["auto", "exact", "none"])
def test_the_worker_hears_which_mitigations_are_allowed(
    tmp_path: Path, store: Store, intake: Intake, allowed: Allowed
) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), mitigations=allowed)
    job = intake.generate(GenerateRequest(params=params), key=new_id(), request_id="").job
    task = store.jobs.get(job.id).task
    assert task is not None
    assert task.allowed == allowed


def test_a_path_that_is_a_preset_already_costs_no_write(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), seed=7)
    request = GenerateRequest(params=params)
    first = intake.generate(request, key=new_id(), request_id="").job
    presets, commits = store.presets.list(), store.database.commits
    second = intake.generate(request, key=new_id(), request_id="").job
    assert second.request_hash == first.request_hash
    # That of the job itself.
    assert store.database.commits == commits + 1
    assert store.presets.list() == presets
