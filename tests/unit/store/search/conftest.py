"""Pictures with words, and the ways to change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from mysticanvas.contracts import ids
from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.store import Store, times
from mysticanvas.store.search import ranking, stale


class Shelf:
    """Puts pictures into a store, and finds them again by their places in the order."""

    def __init__(self, store: Store, maker: Any) -> None:
        self.store = store
        self._maker = maker

    def add(
        self, *prompts: str, negative_prompt: str = "", seed: int = 7, **changes: Any
    ) -> list[int]:
        """Record pictures with these prompts; their places."""
        job = ids.new_id()
        made = [
            self._maker.image(
                job,
                self._maker.recipe(
                    index=k, prompt=prompt, negative_prompt=negative_prompt, seed=seed
                ),
                **changes,
            )
            for k, prompt in enumerate(prompts)
        ]
        self.store.images.add(made)
        last = self.store.database.read("SELECT max(seq) AS seq FROM images")[0]["seq"]
        return list(range(last - len(prompts) + 1, last + 1))

    def tag(self, seq: int, *names: str) -> None:
        self.store.tags.add([seq], names, "user")

    def change(self, seq: int, **values: object) -> None:
        """Change columns of a picture, and mark it."""
        columns = ", ".join(f"{name} = ${name}" for name in values)
        with self.store.database.write() as transaction:
            transaction.run(f"UPDATE images SET {columns} WHERE seq = $seq", seq=seq, **values)
            stale.touch(transaction, [seq])

    def delete(self, seq: int) -> None:
        self.change(seq, deleted_at=times.now())

    def find(self, text: str, **filters: Any) -> list[int]:
        """Everything that is found, in order, by pages of seven."""
        found: list[int] = []
        cursor = None
        while True:
            page = self.store.search.search(text, 7, cursor, ImageFilters(**filters))
            found += page.seqs
            if page.next_cursor is None:
                assert page.total == len(found)
                return found
            cursor = page.next_cursor

    def index(self) -> None:
        """Take everything into the index, as far as it is due."""
        while self.store.search.maintain(60):
            pass


@pytest.fixture(scope="session")
def shelf_of(new_maker: Any) -> Callable[[Store], Shelf]:
    """Makes shelves, for stores of a test's own."""
    return lambda store: Shelf(store, new_maker())


@pytest.fixture
def shelf(store: Store, shelf_of: Callable[[Store], Shelf]) -> Shelf:
    return shelf_of(store)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has maintenance work on small numbers, so that a few pictures make many segments."""

    def set_sizes(
        smallest: int = 1,
        largest: int = 5,
        levels: Iterable[int | None] = (10, 40, None),
        idle: int | None = None,
    ) -> None:
        monkeypatch.setattr("mysticanvas.store.search.maintenance.MIN_BATCH", smallest)
        monkeypatch.setattr("mysticanvas.store.search.maintenance.MAX_BATCH", largest)
        monkeypatch.setattr("mysticanvas.store.search.maintenance.IDLE_BATCH", idle or largest)
        monkeypatch.setattr("mysticanvas.store.search.maintenance.LEVELS", tuple(levels))

    return set_sizes


@pytest.fixture(params=[0, 6, ranking.FEW], ids=["duckdb", "both", "here"])
def ranker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ranks what the index finds: DuckDB, or this process, or the one after the other; with
    all texts at hand, or those that were picked out."""
    monkeypatch.setattr(ranking, "FEW", request.param)
    monkeypatch.setattr(ranking, "PICTURES_A_TEXT", 1 if request.param else 1000)
