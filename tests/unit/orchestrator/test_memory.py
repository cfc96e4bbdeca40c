"""What the system has left."""

from __future__ import annotations

from pathlib import Path

import psutil

from mysticanvas.orchestrator.supervisor import memory


def test_it_is_what_can_be_had_without_swapping() -> None:
    total_mib = psutil.virtual_memory().total / 2**20
    assert 0 < memory.system_free_mib() < total_mib


def test_kills_for_want_of_memory_are_counted_where_the_system_counts_them(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    assert memory.oom_kills(counters) == 0
    counters.write_text("pgfault 12\noom_kill 3\noom_kill_other 9\n")
    assert memory.oom_kills(counters) == 3
    counters.write_text("pgfault 12\n")
    assert memory.oom_kills(counters) == 0
