"""How workers are ended in tests, and how long they may hang there."""

from __future__ import annotations

import os

import pytest

from mysticanvas.orchestrator.supervisor.deadlines import Deadlines

HOW = {
    "kill": ("SIGKILL", None),
    "segv": ("SIGSEGV", None),
    "exit": (None, 3),
    # A process that is stopped takes no SIGTERM.
    "stop": ("SIGKILL", None),
}
"""The signal and the exit code of an end."""
LONG = pytest.mark.skipif("FAULTS" not in os.environ, reason="takes long: only in make faults")
SHORT = Deadlines(
    start_s=30,
    idle_silence_s=10,
    import_silence_s=15,
    load_silence_s=10,
    work_silence_s=10,
    load_s=15,
    first_step_s=10,
    step_s=10,
    stage_s=10,
    term_s=1,
)
