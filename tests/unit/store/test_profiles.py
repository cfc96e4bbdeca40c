"""Documents about models, by their keys."""

from __future__ import annotations

from mysticanvas.settings import HomePaths
from mysticanvas.store import Store


def test_a_profile_outlasts_the_process_and_can_be_replaced(store: Store, paths: HomePaths) -> None:
    assert store.profiles.get("key") is None
    store.profiles.save("key", "model", '{"n": 1}')
    store.profiles.save("another", "model", "{}")
    store.profiles.save("key", "model", '{"n": 2}')
    store.close()
    with Store.open(paths) as again:
        assert again.profiles.get("key") == '{"n": 2}'
        assert again.profiles.get("another") == "{}"
