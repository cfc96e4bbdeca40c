"""Memory runs out while pictures are decoded: another process does it, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House

from mysticanvas.orchestrator import latents


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("home")) as house:
        yield house


@pytest.fixture(autouse=True)
def nothing_is_left(house: House) -> Iterator[None]:
    yield
    assert list(latents.folder(house.paths.run).iterdir()) == []
    # The end of a process for its memory is none of its failures.
    assert not [alert for alert in house.alerts if "memory" in str(alert)]


@pytest.mark.fault("no memory to decode, in any way", "a new process decodes, without sampling")
def test_a_new_process_decodes_what_was_sampled(house: House) -> None:
    before = house.until(lambda worker: worker.pid).pid
    record = house.done("keep decode 9")
    assert house.until(lambda worker: worker.pid).pid != before
    assert (record.attempts, record.failures) == (1, [])
    assert [image.recipe.mitigations for image in record.images] == [("offload_model",)]
    assert record.notices == [
        "Memory ran out while the pictures were decoded; a new process does it, without sampling "
        "again.",
        "Memory ran out; it was made with offload_model instead.",
    ]
    failed, well = house.feedback.history(10)
    assert (failed.at_least, well.at_least) == (True, False)
    # Part of it was done twice, so it tells nobody how long such jobs take.
    assert well.run_seconds is None
    assert house.alerts == []


@pytest.mark.fault("no memory to decode in a new process either", "told as memory that ran out")
def test_it_is_tried_once(house: House) -> None:
    record = house.reached(house.submit("keep decode 9 starve"), "failed")
    assert record.error is not None
    assert (record.error.code, record.attempts) == ("out_of_memory", 1)
    assert house.done().attempts == 1


@pytest.mark.fault("SIGKILL of the process that decodes for another", "the job begins again")
def test_a_process_that_is_killed_as_it_decodes_costs_an_attempt(house: House) -> None:
    record = house.done("keep decode 1 kill")
    assert record.attempts == 2
    [failure] = record.failures
    assert "SIGKILL" in failure


@pytest.mark.fault("an allocator that fails at each decode of a process", "a new process decodes")
def test_real_pictures_are_decoded_by_a_new_process(tmp_path: Path, tiny_sd: Path) -> None:
    counted = {"SCARCE_COUNT": str(tmp_path / "count"), "SCARCE_PROCESSES": "1"}
    home = tmp_path / "home"
    with House(home, worker_module="scarce_worker", model=tiny_sd, **counted) as house:
        first, second = house.done("x"), house.done("x")
        assert (first.attempts, first.failures) == (1, [])
        assert first.images[0].pixels_sha256 == second.images[0].pixels_sha256
        assert [len(each.notices) for each in (first, second)] == [1, 0]
        assert list(latents.folder(house.paths.run).iterdir()) == []


@pytest.mark.fault("an orchestrator that ended with latents kept", "they are removed at the start")
def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    folder = latents.folder(tmp_path)
    folder.mkdir()
    (folder / "left-1.safetensors").touch()
    latents.clear(tmp_path)
    assert not folder.exists()
    latents.clear(tmp_path)
    latents.forget(tmp_path, "any")
