"""Who may take a job up that somebody else began; with real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mysticanvas.orchestrator.queue import rescue
from mysticanvas.orchestrator.queue.rescue import Rescue
from mysticanvas.processes import Identity


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def decided(runner: str | None, after_crash: str = "requeue") -> Rescue:
    return rescue.decide(runner, after_crash, Identity.alive)


def test_a_job_of_a_live_process_is_left_alone(other: subprocess.Popen[bytes]) -> None:
    runner = rescue.to_text(Identity.of(other.pid))
    assert decided(runner) is Rescue.LEAVE
    assert decided(runner, "cancel") is Rescue.LEAVE


def test_a_job_of_a_dead_process_is_taken_up(other: subprocess.Popen[bytes]) -> None:
    runner = rescue.to_text(Identity.of(other.pid))
    other.kill()
    assert Identity.of(os.getpid()).alive()
    # Dead, and not waited for yet: a zombie runs no job.
    assert rescue.from_text(runner).wait_gone(30)
    assert decided(runner) is Rescue.REQUEUE
    assert decided(runner, "cancel") is Rescue.CANCEL


@pytest.mark.fault("the pid of a job's orchestrator is recycled", "its job is taken up")
def test_a_later_process_with_the_same_number_is_another(other: subprocess.Popen[bytes]) -> None:
    recycled = Identity.of(other.pid)._replace(started_at=Identity.of(other.pid).started_at - 60)
    assert decided(rescue.to_text(recycled)) is Rescue.REQUEUE


def test_a_process_of_before_the_machine_started_is_dead() -> None:
    before = Identity.of(os.getpid())._replace(boot_id="another boot")
    assert decided(rescue.to_text(before)) is Rescue.REQUEUE


@pytest.mark.parametrize("runner", [None, "", "{}", "[1]", '{"pid": 1}', "nonsense"])
def test_what_names_no_process_is_nobody(runner: str | None) -> None:
    assert decided(runner) is Rescue.REQUEUE


def test_an_identity_survives_being_written() -> None:
    me = Identity.of(os.getpid())
    assert rescue.from_text(rescue.to_text(me)) == me
