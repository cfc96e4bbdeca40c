"""Libraries that a process does without."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from mysticanvas import lean


def test_within_the_context_an_import_fails_and_afterwards_it_does_not() -> None:
    with lean.without("this"), pytest.raises(ImportError):
        importlib.import_module("this")
    assert "this" not in sys.modules


def test_what_was_imported_before_is_let_be() -> None:
    before = sys.modules["pytest"]
    with lean.without("pytest"):
        assert importlib.import_module("pytest") is before
    lean.forbid("pytest")
    assert sys.modules["pytest"] is before


def test_a_kernel_that_calls_loads_no_command_line() -> None:
    program = (
        "import sys, mysticanvas.client.http\n"
        "assert not {'httpx._main', 'rich', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
