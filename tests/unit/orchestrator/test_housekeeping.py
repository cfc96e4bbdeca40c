import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from makers import Maker
from pictures import add

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.presets import ImagePreset, LLMPreset
from mysticanvas.errors import StoreError
from mysticanvas.orchestrator import chores, housekeeping
from mysticanvas.orchestrator.housekeeping import (
    AGAIN_S,
    LONGEST_S,
    QUIET_S,
    SAVED_S,
    SETTLED_S,
    SWEEP_S,
    Housekeeping,
    State,
    due,
)
from mysticanvas.store import Store

NOTHING = State(
    up_s=SETTLED_S,
    quiet_s=math.inf,
    since_s={"thumbnails": QUIET_S, "weigh": QUIET_S},
    unindexed=False,
    unsaved=False,
    unfiled=False,
)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"unindexed": True, "up_s": 0}, ["index"]),
        ({"unindexed": True, "since_s": {"index": 1, "thumbnails": 1, "weigh": 1}}, []),
        ({"unsaved": True}, ["backup"]),
        ({"unsaved": True, "up_s": 0}, []),
        ({"unsaved": True, "since_s": {"backup": 60, "thumbnails": 1, "weigh": 1}}, []),
        ({"since_s": {"weigh": 1}}, ["thumbnails"]),
        ({"unweighed_s": SAVED_S, "since_s": {"thumbnails": 1, "weigh": 30}}, ["weigh"]),
        ({"unweighed_s": SAVED_S - 1, "since_s": {"thumbnails": 1, "weigh": 30}}, []),
        ({"unweighed_s": LONGEST_S, "since_s": {"thumbnails": 1, "weigh": 30}}, []),
        ({"unweighed_s": SAVED_S, "up_s": 0, "since_s": {"thumbnails": 1}}, []),
        ({"unweighed_s": SAVED_S}, []),
        ({"since_s": {"thumbnails": 1, "weigh": SWEEP_S}}, ["weigh"]),
        ({"since_s": {"thumbnails": 1}}, ["weigh"]),
        ({"since_s": {"thumbnails": 1}, "up_s": 0}, []),
        ({"since_s": {}, "up_s": 0}, []),
        ({"unfiled": True}, ["thumbnails"]),
        ({"unfiled": True, "quiet_s": QUIET_S - 1}, []),
        (
            {"unfiled": True, "quiet_s": 0, "since_s": {"thumbnails": LONGEST_S, "weigh": 1}},
            ["thumbnails"],
        ),
        ({"unfiled": True, "since_s": {"thumbnails": QUIET_S - 1, "weigh": 1}}, []),
        ({"since_s": {"thumbnails": SWEEP_S, "weigh": 1}}, ["thumbnails"]),
    ],
)
def test_what_is_due(changes: dict[str, Any], kinds: list[str]) -> None:
    assert due(NOTHING._replace(**changes)) == kinds


class Context:
    """A job that nobody stops."""

    job_id = "job"
    project = "default"
    params: dict[str, Any] = {}

    def check(self) -> None: ...

    def progress(self, fraction: float, stage: str) -> None: ...


def test_a_look_queues_what_the_store_needs_and_the_job_does_it(store: Store) -> None:
    queued: list[str] = []
    housekeeping = Housekeeping(store, queued.append)
    housekeeping.look()
    assert queued == []
    add(store, *["a red circle"] * 200)
    housekeeping.look()
    assert queued == ["index"]
    housekeeping.look()
    assert queued == ["index"], f"not again within {AGAIN_S['index']} s"
    assert chores.index(store, Context()) == {"steps": 1}
    assert not store.search.behind()
    daily = chores.DailyBackup(store, pytest.fail)
    assert Path(str(daily.run(Context())["path"])).is_file()
    assert daily.run(Context()) == {"path": None}


def test_a_preset_that_is_saved_is_weighed_a_little_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(housekeeping.time, "monotonic", lambda: now)
    queued: list[str] = []
    keeping = Housekeeping(store, queued.append)

    def looked_after(seconds: float) -> bool:
        nonlocal now
        now += seconds
        queued.clear()
        keeping.look()
        return "weigh" in queued

    assert looked_after(SETTLED_S), "all are looked at once after a start"
    assert not looked_after(SETTLED_S)
    first = store.presets.save(ImagePreset(name="a", model="/models/a"))
    assert not looked_after(1)
    assert looked_after(SAVED_S)
    assert looked_after(AGAIN_S["weigh"]), "the job could not tell"
    assert not looked_after(LONGEST_S)
    store.llm_presets.save(LLMPreset(name="a", model="/models/a.gguf"))
    assert not looked_after(1)
    assert looked_after(SAVED_S)
    store.presets.weigh(first, 1.0, "key")
    store.llm_presets.weigh(store.llm_presets.get("a"), None, "key")
    assert not looked_after(AGAIN_S["weigh"])


def test_a_backup_is_made_on_days_with_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that nobody asked for is none, whichever process looks."""
    now, day = 1000.0, datetime(2026, 11, 22, 12, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return day

    monkeypatch.setattr(housekeeping.time, "monotonic", lambda: now)
    monkeypatch.setattr(housekeeping, "datetime", Clock)
    queued: list[str] = []
    keeping = Housekeeping(store, queued.append)

    def asked() -> bool:
        nonlocal now
        now += AGAIN_S["backup"]
        queued.clear()
        keeping.look()
        return "backup" in queued

    add(store, "a red circle")
    assert asked()
    assert asked(), "the job could not make it"
    assert store.backups.if_due(day)
    assert not asked()
    day += timedelta(days=1)
    store.search.maintain()
    record = Maker().job(kind="index", internal=True)
    store.jobs.add(record, "{}", None)
    assert not asked()
    keeping = Housekeeping(store, queued.append)
    assert not asked()
    with store.database.write() as transaction:
        transaction.run("UPDATE images SET starred = true")
    assert asked()
    assert store.backups.if_due(day)
    day += timedelta(days=1)
    assert not asked()
    store.backups._paths.backups.joinpath("daily-2026-11-23.duckdb").write_bytes(b"damaged")
    store.facts.set("queue.paused", True)
    assert asked()


def test_that_the_backup_of_the_day_failed_is_told_once_a_day(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: datetime, check: Any) -> None:
        raise StoreError("No room.", hint="Make some.")

    monkeypatch.setattr(store.backups, "if_due", fail)
    told: list[Alert] = []
    daily = chores.DailyBackup(store, told.append)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"No room\. Make some\."):
            daily.run(Context())
    assert [(alert.kind, alert.severity) for alert in told] == [("backup_failed", "warning")]
    assert "No room. Make some. It is tried again" in str(told[0])
    daily._told_on = date(2026, 1, 1)
    with pytest.raises(StoreError):
        daily.run(Context())
    assert len(told) == 2
