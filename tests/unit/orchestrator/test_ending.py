"""How a process of ours ended, and in words."""

from __future__ import annotations

import signal

import pytest

from mysticanvas.orchestrator.ending import Ending, in_words, quoted


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(-9), "was killed from outside (SIGKILL)"),
        (
            Ending(-9, out_of_memory=True),
            "was killed by the system, because the machine ran out of memory (SIGKILL)",
        ),
        (
            Ending(-9, "did not answer for 12 s", out_of_memory=True),
            "did not answer for 12 s, and was ended (SIGKILL)",
        ),
        (Ending(0, "broke off its answer"), "broke off its answer, and was ended (exit 0)"),
        (Ending(-11), "crashed in native code (SIGSEGV)"),
        (Ending(-6, out_of_memory=True), "crashed in native code (SIGABRT)"),
        (Ending(-15), "was ended from outside (SIGTERM)"),
        (
            Ending(0),
            "ended with exit code 0, as it does when it is asked to from outside (SIGTERM)",
        ),
        (Ending(3), "ended by itself with exit code 3"),
        (Ending(None, "No such file"), "could not be started (No such file)"),
    ],
)
def test_every_end_has_its_words(ending: Ending, words: str) -> None:
    assert in_words(ending) == words


def test_a_signal_or_an_exit_code_never_both() -> None:
    assert (Ending(-11).signal, Ending(-11).exit_code) == ("SIGSEGV", None)
    assert (Ending(3).signal, Ending(3).exit_code) == (None, 3)
    assert (Ending(None).signal, Ending(None).exit_code) == (None, None)
    assert Ending(-63).signal == "signal 63"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"])
def test_who_crashes_was_not_killed(name: str) -> None:
    ending = Ending(-signal.Signals[name])
    assert (ending.crashed, ending.was_killed) == (True, False)


@pytest.mark.parametrize(
    ("code", "killed"),
    [(-9, True), (-15, True), (-63, True), (0, False), (3, False), (None, False)],
)
def test_who_is_killed_has_not_crashed(code: int | None, killed: bool) -> None:
    assert (Ending(code).crashed, Ending(code).was_killed) == (False, killed)


def test_what_is_quoted_says_more_than_the_signal() -> None:
    crashed = "Fatal Python error: Segmentation fault"
    assert quoted(("GGML_ASSERT(x) failed", crashed)) == " Its last words: GGML_ASSERT(x) failed"
    assert quoted((crashed,)) == ""
    assert quoted(("so far", "Fatal Python error: no_gil: x")).endswith("no_gil: x")
    assert quoted(()) == ""
