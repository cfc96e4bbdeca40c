"""One kernel of the stress run: submits jobs or only listens, and says what it saw."""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from typing import Any, Literal, NamedTuple

from mysticanvas import Canvas, Image, Job, MystiCanvasError
from mysticanvas.client.events import EventStream
from mysticanvas.contracts.events import Event

PATIENCE_S = 300.0
TOPICS: tuple[Literal["image", "job"], ...] = ("image", "job")


class Order(NamedTuple):
    """What a kernel is to do: a home, a model, and for how many seconds it submits."""

    home: str
    model: str
    seconds: float


class Witness:
    """Sees every event that the canvas's own stream takes in, and what callbacks are told of it."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.happened: list[tuple[str, str]] = []
        """Of which job or image each event was, as the stream has them."""
        self.told: list[tuple[str, str]] = []
        """The same, as callbacks have them."""
        self._owed = 0
        """How much had happened when they were surely there."""
        self.resyncs = 0
        self.epochs: set[str] = set()
        self.heard = threading.Condition()
        take = EventStream._take

        def seen(stream: EventStream, event: Event) -> None:
            self._see(event)
            take(stream, event)

        EventStream._take = seen  # type: ignore[method-assign]  # the one place all events pass

    def _see(self, event: Event) -> None:
        with self.heard:
            self.epochs.add(event.epoch)
            self.resyncs += event.type == "resync"
            if event.type == "hello" and not self.seqs:
                self.seqs.append(int(event.data["seq"]))
            if event.seq is not None:
                self.seqs.append(event.seq)
            if event.type in TOPICS:
                self.happened.append((event.type, str(event.data["id"])))
            self.heard.notify_all()

    def subscribe(self, canvas: Canvas) -> None:
        """Be told of jobs and images by callbacks from now on."""
        for topic in TOPICS:
            canvas.on(topic, functools.partial(self._be_told, topic))
        with self.heard:
            self._owed = len(self.happened)

    def _be_told(self, topic: str, what: Image | Job[Any]) -> None:
        with self.heard:
            self.told.append((topic, what.id))
            self.heard.notify_all()

    def told_alike(self) -> bool:
        """Whether callbacks come to be told of everything, once and in order, as the stream was."""
        with self.heard:
            came = self.heard.wait_for(
                lambda: len(self.told) >= len(self.happened) - self._owed, PATIENCE_S
            )
            # Of what came while they subscribed, they may have been told as well.
            return came and self.told == self.happened[len(self.happened) - len(self.told) :]

    def wait_for(self, seq: int) -> bool:
        """Wait for an event; whether it came."""
        with self.heard:
            return self.heard.wait_for(lambda: self.seqs[-1:] >= [seq], PATIENCE_S)

    def complete(self) -> bool:
        """Whether everything came, once, in order, over one connection or several."""
        expected = list(range(self.seqs[0], self.seqs[0] + len(self.seqs)))
        return self.seqs == expected and not self.resyncs and len(self.epochs) == 1


def main() -> None:
    from benchmarks import child

    order = Order(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    witness = Witness()
    with Canvas(home=order.home) as canvas:
        assert canvas._connection._stream is not None
        assert canvas._connection._stream.wait_connected(PATIENCE_S)
        witness.subscribe(canvas)
        child.answer(ready=True)
        sys.stdin.readline()
        jobs, errors = _submit(canvas, order)
        child.answer(jobs=jobs, errors=errors)
        came = witness.wait_for(json.loads(sys.stdin.readline())["last"])
        alike = witness.told_alike()
        child.answer(
            complete=came and witness.complete(),
            events=len(witness.seqs) - 1,
            alike=alike,
            callbacks=len(witness.told),
        )


def _submit(canvas: Canvas, order: Order) -> tuple[list[str], list[str]]:
    jobs, errors = [], []
    until = time.monotonic() + order.seconds
    while time.monotonic() < until:
        try:
            job = canvas.submit("stress", preset=order.model, num_inference_steps=1)
            jobs.append(job.id)
            job.result(timeout=PATIENCE_S)
        except (MystiCanvasError, TimeoutError) as error:
            errors.append(f"{type(error).__name__}: {error}")
    return jobs, errors


if __name__ == "__main__":
    main()
