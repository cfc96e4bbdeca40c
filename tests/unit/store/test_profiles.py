"""Documents about models, by their keys."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mysticanvas.home import HomePaths
from mysticanvas.store import Store, times
from mysticanvas.store.profiles import KEPT_ANYHOW, KEPT_UNUSED


def test_a_profile_outlasts_the_process_and_can_be_replaced(store: Store, paths: HomePaths) -> None:
    assert store.profiles.get("key") is None
    store.profiles.save("key", "model", '{"n": 1}')
    store.profiles.save("another", "model", "{}")
    store.profiles.save("key", "model", '{"n": 2}')
    store.close()
    with Store.open(paths) as again:
        assert again.profiles.get("key") == '{"n": 2}'
        assert again.profiles.get("another") == "{}"


def test_what_nobody_asks_for_is_forgotten_and_what_is_used_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 5, 4)
    monkeypatch.setattr(times, "now", lambda: now)
    others = [f"other {n}" for n in range(KEPT_ANYHOW)]
    for key in ("unused", "used", *others):
        store.profiles.save(key, "model", "{}")
    now += KEPT_UNUSED / 2
    assert store.profiles.get("used") == "{}"
    assert store.profiles.prune() == 0
    now += KEPT_UNUSED / 2 + timedelta(days=1)
    for key in others[1:]:
        assert store.profiles.get(key) == "{}"
    assert store.profiles.prune() == 2
    assert [store.profiles.get(key) for key in ("used", "unused", others[0])] == ["{}", None, None]


def test_a_clock_that_is_years_ahead_leaves_the_last_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 5, 4)
    monkeypatch.setattr(times, "now", lambda: now)
    for n in range(KEPT_ANYHOW + 3):
        now += timedelta(hours=1)
        store.profiles.save(str(n), "model", "{}")
    now += timedelta(days=10_000)
    assert store.profiles.prune() == 3
    assert store.profiles.get("3") == "{}"
    now -= timedelta(days=10_000)
    assert store.profiles.get("3") == "{}"
    now += KEPT_UNUSED
    assert store.profiles.get("3") == "{}"
