"""An orchestrator whose home was deleted and made again leaves it to its new owner."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.settings import Settings


@pytest.mark.parametrize("displaced", [False, True])
def test_only_what_is_its_own_is_removed_at_its_end(tmp_path: Path, displaced: bool) -> None:
    settings = Settings.load({}, home=tmp_path / "home", ipc="unix", spare_worker=False)
    paths = settings.paths
    orchestrator = Orchestrator(settings)
    if displaced:
        shutil.rmtree(paths.root)
        paths.create()
    files = {paths.socket, paths.runtime_file}
    for file in files:
        file.touch()
    orchestrator.close()
    assert {file for file in files if file.exists()} == (files if displaced else set())
