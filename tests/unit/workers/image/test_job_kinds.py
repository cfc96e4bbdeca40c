"""What jobs of a kind took is remembered, for the kinds that were used last."""

from __future__ import annotations

import pytest

from mysticanvas.workers.image import job_kinds
from mysticanvas.workers.image.job_kinds import Known


def test_only_so_many_kinds_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_kinds, "_MOST_KNOWN", 2)
    known = Known()
    for key in "ab":
        known.keep(key, 1)
    known.get("a")
    known.keep("c", 1)
    assert [known.get(key) for key in "abc"] == [1, None, 1]
