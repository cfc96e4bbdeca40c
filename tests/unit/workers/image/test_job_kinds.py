"""What jobs of a kind took is remembered, for the kinds that were used last."""

from __future__ import annotations

from pathlib import Path

import pytest
from tasks import make_task

from mysticanvas.workers.image import job_kinds
from mysticanvas.workers.image.job_kinds import Kind, Known


def test_only_so_many_kinds_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_kinds, "_MOST_KNOWN", 2)
    known = Known()
    for key in "ab":
        known.keep(key, 1)
    known.get("a")
    known.keep("c", 1)
    assert [known.get(key) for key in "abc"] == [1, None, 1]


@pytest.mark.parametrize(("model", "alike"), [("sd", True), ("sdxl", False)])
def test_a_negative_prompt_makes_another_kind_where_an_empty_one_is_not_encoded(
    model: str, alike: bool
) -> None:
    kinds = {
        Kind.of("digest", "float32", make_task(Path(model), negative_prompt=text).recipe)
        for text in ("", "blurry")
    }
    assert (len(kinds) == 1) == alike
