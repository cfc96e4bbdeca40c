"""What a job's record says of its prompt, wherever it comes from."""

from __future__ import annotations

from typing import Any

import pytest

from mysticanvas.contracts.base import SHOWN_CHARS
from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.store import Store

LONG = "a castle on a hill " * 20


def prompts(store: Store) -> list[str]:
    return [record.prompt for record in store.jobs.page().items]


def added(store: Store, maker: Any, prompt: str) -> str:
    record = maker.job(prompt=prompt)
    store.jobs.add(record, "{}", maker.task(record, maker.recipe(prompt=prompt)))
    return str(record.id)


@pytest.mark.parametrize("prompt", ["a red circle", "ein Schloß\0🎨", LONG])
def test_a_job_tells_its_prompt_at_every_stage(store: Store, maker: Any, prompt: str) -> None:
    shown = prompt if len(prompt) < SHOWN_CHARS else f"{prompt[: SHOWN_CHARS - 1]}…"
    job = added(store, maker, prompt)
    assert prompts(store) == [store.jobs.get(job).record.prompt] == [shown]
    claimed = store.jobs.claim()
    assert claimed is not None
    assert claimed.record.prompt == shown
    assert [each.record.prompt for each in store.jobs.interrupted()] == [shown]
    failed = store.jobs.finish(job, 1, JobStatus.FAILED)
    assert failed is not None
    assert prompts(store) == [failed.prompt] == [shown]


def test_a_job_that_made_pictures_tells_theirs(store: Store, maker: Any) -> None:
    record = maker.recorded(store)
    assert prompts(store) == [store.jobs.get(record.id).record.prompt]
    assert prompts(store) == ["a red circle above a blue square"]


def test_a_job_of_no_pictures_and_one_that_cannot_be_read_tell_none(
    store: Store, maker: Any
) -> None:
    store.jobs.add(maker.job(kind="backup"), "{}", None, params={"path": "/b"})
    record = maker.job()
    store.jobs.add(record, "{}", None)
    assert prompts(store) == ["", ""]
    assert store.jobs.get(record.id).record.prompt == ""


def test_a_page_of_many_prompts_has_them_all(store: Store, maker: Any) -> None:
    for k in range(140):
        added(store, maker, f"prompt {k}")
    page = store.jobs.page(limit=135)
    assert [record.prompt for record in page.items] == [f"prompt {k}" for k in range(139, 4, -1)]
