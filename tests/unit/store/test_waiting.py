"""The order of jobs that wait."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from mysticanvas.contracts.jobs import LONGEST_DELAY_S
from mysticanvas.store.waiting import MOST_PASSES, Entry, Waiting

NOW = datetime(2026, 11, 22, 12)
SOON = NOW + timedelta(seconds=5)


def waiting(*entries: Entry) -> Waiting:
    made = Waiting()
    for entry in entries:
        made.put(entry)
    return made


LATE = Entry(True, 1, "late", "generate")
FIRST = Entry(False, 2, "first", "generate")
DELAYED = Entry(False, 3, "delayed", "generate", SOON)
BACKUP = Entry(True, 4, "backup", "backup")


def test_interactive_jobs_come_first_and_then_the_older() -> None:
    order = waiting(BACKUP, LATE, FIRST)
    names = []
    while (entry := order.next(None, NOW)) is not None:
        names.append(entry.id)
        order.remove(entry.id)
    assert names == ["first", "late", "backup"]
    assert len(order) == 0


def test_a_job_whose_time_has_not_come_is_passed_over() -> None:
    order = waiting(DELAYED, LATE)
    assert order.next(None, NOW) == LATE
    assert order.next(None, SOON) == DELAYED
    order.remove("late")
    assert order.next_due(None, NOW) == SOON
    assert order.next_due(None, SOON) == SOON
    assert order.next_due(["backup"], NOW) is None


def test_a_clock_that_is_set_back_puts_no_job_off() -> None:
    order = waiting(DELAYED)
    longest_before = SOON - timedelta(seconds=LONGEST_DELAY_S)
    assert order.next_due(None, longest_before) == SOON
    hours_before = NOW - timedelta(hours=3)
    assert order.next_due(None, hours_before) == hours_before
    assert order.take(["generate"], hours_before, None) == DELAYED


def test_kinds_are_told_apart() -> None:
    order = waiting(LATE, BACKUP)
    assert order.next(["backup"], NOW) == BACKUP
    assert order.next(["index"], NOW) is None


def test_a_job_stands_behind_those_of_its_own_lane() -> None:
    order = waiting(LATE, FIRST, DELAYED, BACKUP)
    places = [order.ahead(name) for name in ("first", "delayed", "late", "backup", "unknown")]
    assert places == [0, 1, 2, 0, None]


def test_to_forget_what_does_not_wait_is_harmless() -> None:
    order = waiting(FIRST)
    order.remove("unknown")
    order.remove("first")
    order.remove("first")
    assert len(order) == 0


def taken(order: Waiting, model: str | None) -> list[str]:
    names = []
    while (entry := order.take(None, NOW, model)) is not None:
        names.append(entry.id)
    return names


def test_jobs_of_the_loaded_model_go_first_but_not_for_ever() -> None:
    other = Entry(False, 1, "other", "generate", model="b")
    same = [Entry(False, 2 + k, f"same {k}", "generate", model="a") for k in range(6)]
    background = Entry(True, 0, "background", "generate", model="a")
    names = taken(waiting(other, *same, background), "a")
    ahead = [f"same {k}" for k in range(MOST_PASSES)]
    assert names == [*ahead, "other", *(f"same {k}" for k in range(MOST_PASSES, 6)), "background"]
    assert taken(waiting(other, *same[:2]), None) == ["other", "same 0", "same 1"]


def test_a_job_of_the_loaded_model_whose_time_has_not_come_does_not_go_first() -> None:
    other = Entry(False, 1, "other", "generate", model="b")
    later = Entry(False, 2, "later", "generate", SOON, "a")
    assert waiting(other, later).take(None, NOW, "a") == other


def test_pixels_are_those_of_all_that_wait() -> None:
    order = waiting(FIRST._replace(pixels=3), LATE._replace(pixels=4))
    order.put(FIRST._replace(pixels=5))
    assert (order.pixels(), len(order)) == (9, 2)
    order.take(None, NOW, None)
    order.remove("unknown")
    assert (order.pixels(), len(order)) == (4, 1)


class Seen(Entry):
    """Counts how often it is looked at."""

    looks = 0

    def __getattribute__(self, name: str) -> Any:
        Seen.looks += 1
        return super().__getattribute__(name)

    def __lt__(self, other: object) -> bool:
        Seen.looks += 1
        return tuple(self) < tuple(other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ask",
    [
        lambda order: order.ahead("700"),
        lambda order: order.next(["backup"], NOW),
        lambda order: order.next_due(["generate"], NOW),
        lambda order: order.next_due(["index"], NOW),
        lambda order: order.take(["generate"], NOW, "not loaded by any"),
        lambda order: order.remove("700"),
        lambda order: order.put(Seen(False, 700, "700", "generate")),
        lambda order: order.pixels(),
    ],
)
def test_what_is_asked_looks_at_few_however_many_wait(ask: Callable[[Waiting], object]) -> None:
    many = waiting(*(Seen(False, k, f"{k}", "generate", None, f"{k % 3}") for k in range(10_000)))
    many.put(Seen(True, 0, "last", "backup"))
    Seen.looks = 0
    ask(many)
    assert Seen.looks < 100
