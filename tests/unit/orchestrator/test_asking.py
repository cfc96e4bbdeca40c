"""What is known of an answer about a file that did not come, and of a process that is lost."""

from __future__ import annotations

import subprocess

import pytest

from mysticanvas.orchestrator import asking, helper
from mysticanvas.orchestrator.ending import Ending


@pytest.mark.parametrize(
    ("code", "what", "was_ended"),
    [
        (-11, "it crashed in native code (SIGSEGV)", False),
        (-6, "it crashed in native code (SIGABRT)", False),
        (-9, "it was ended, maybe because memory ran out", True),
        (1, "it broke off", False),
    ],
)
def test_a_crash_is_not_taken_for_want_of_memory(code: int, what: str, was_ended: bool) -> None:
    error = subprocess.CalledProcessError(code, [], stderr=b"so far\n")
    silence = asking.Silence.of(error, "it", "that", 1.0)
    assert (silence.what, silence.was_ended) == (what, was_ended)
    assert silence.figures["last_words"] == ("so far",)


@pytest.mark.parametrize(
    ("code", "words", "killed"),
    [
        (-11, "it ended by SIGSEGV", False),
        (-9, "it ended by SIGKILL", True),
        (-15, "it ended by SIGTERM", True),
        (-63, "it ended by signal 63", True),
        (3, "it ended with 3", False),
    ],
)
def test_a_helper_that_was_ended_from_outside_is_told_apart(
    code: int, words: str, killed: bool
) -> None:
    lost = helper._ended(Ending(code))
    assert (str(lost), lost.killed) == (words, killed)
