"""Callbacks: in order, one at a time, and none can harm the next."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mysticanvas import errors
from mysticanvas.contracts.events import Event
from mysticanvas.session import subscriptions
from mysticanvas.session.subscriptions import Subscriptions, callback, topic

WAIT_S = 30


def event(kind: Any, number: int) -> Event:
    return Event(epoch="e", seq=number, type=kind, data={"n": number})


def number(event: Event) -> Any:
    return event.data["n"]


@pytest.fixture
def told() -> Iterator[Subscriptions]:
    told = Subscriptions()
    yield told
    told.close()


def test_callbacks_run_in_order_on_one_thread_that_is_not_the_caller_s(told: Subscriptions) -> None:
    heard: list[Any] = []
    threads: set[str] = set()
    end = threading.Event()

    def note(label: str, n: int) -> None:
        threads.add(threading.current_thread().name)
        heard.append((label, n))
        if (label, n) == ("b", 99):
            end.set()

    told.add("alert", lambda n: note("a", n), number)
    told.add("alert", lambda n: note("b", n), number)
    for k in range(100):
        told.take(event("alert", k))
        told.take(event("job", k))
    assert end.wait(WAIT_S)
    assert heard == [(label, k) for k in range(100) for label in "ab"]
    assert threads == {"mysticanvas-callbacks"}


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_what_a_callback_raises_is_logged_and_the_rest_goes_on(
    told: Subscriptions, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def fail(_: object) -> None:
        raise kind("of the user's function")

    end = threading.Event()
    told.add("worker", fail, number)
    told.add("worker", lambda n: n == 2 and end.set(), number)
    with caplog.at_level(logging.ERROR):
        told.take(event("worker", 1))
        told.take(event("worker", 2))
        assert end.wait(WAIT_S)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == ([kind] * 2)


def test_a_closed_subscription_is_called_no_more(told: Subscriptions) -> None:
    heard: list[int] = []
    end = threading.Event()
    with told.add("image", heard.append, number) as subscription:
        assert repr(subscription) == "<Subscription 'image'>"
        first = threading.Event()
        told.add("image", lambda _: first.set(), number)
        told.take(event("image", 1))
        assert first.wait(WAIT_S)
    assert subscription.closed
    subscription.close()
    told.add("image", lambda n: n == 2 and end.set(), number)
    told.take(event("image", 2))
    assert end.wait(WAIT_S)
    assert heard == [1]


def test_a_callback_may_close_its_own_subscription(told: Subscriptions) -> None:
    heard: list[int] = []
    end = threading.Event()

    def once(n: int) -> None:
        heard.append(n)
        mine.close()

    mine = told.add("job", once, number)
    told.add("job", lambda n: n == 2 and end.set(), number)
    told.take(event("job", 1))
    told.take(event("job", 2))
    assert end.wait(WAIT_S)
    assert heard == [1]


def test_a_slow_callback_never_holds_up_who_brings_the_news(
    told: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun, end = threading.Event(), threading.Event(), threading.Event()
    heard: list[int] = []
    most = subscriptions.MOST

    def slow(n: int) -> None:
        begun.set()
        go.wait(WAIT_S)
        heard.append(n)
        if n == most + 10:
            end.set()

    told.add("alert", slow, number)
    told.take(event("alert", 0))
    assert begun.wait(WAIT_S)
    for k in range(1, most + 11):
        told.take(event("alert", k))
    go.set()
    assert end.wait(WAIT_S)
    assert heard == [0, *range(11, most + 11)], "the oldest are dropped, the order stays"


def test_a_value_of_none_is_for_nobody(told: Subscriptions) -> None:
    end = threading.Event()
    heard: list[int] = []
    told.add("job", heard.append, lambda event: event.data["n"] if event.data["n"] > 1 else None)
    told.add("job", lambda n: n == 2 and end.set(), number)
    told.take(event("job", 1))
    told.take(event("job", 2))
    assert end.wait(WAIT_S)
    assert heard == [2]


def test_an_unknown_event_is_refused_with_those_that_there_are() -> None:
    assert topic("alert") == "alert"
    with pytest.raises(errors.InvalidRequest, match="job, worker, alert, vram, image"):
        topic("jobs")
    with pytest.raises(errors.InvalidRequest):
        topic(["job"])


@pytest.mark.parametrize("bad", [5, None, "print"])
def test_what_cannot_be_called_is_refused(bad: object) -> None:
    assert callback(print) is print
    with pytest.raises(errors.InvalidRequest, match="callback=") as refused:
        callback(bad)
    assert refused.value.allowed == "a function that takes what happened"
