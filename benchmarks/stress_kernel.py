"""One kernel of the stress run: submits jobs or only listens, and says what it saw."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import NamedTuple

from mysticanvas import Canvas, MystiCanvasError
from mysticanvas.client.events import EventStream
from mysticanvas.contracts.events import Event

PATIENCE_S = 300.0


class Order(NamedTuple):
    """What a kernel is to do: a home, a model, and for how many seconds it submits."""

    home: str
    model: str
    seconds: float


class Witness:
    """Sees every event that the canvas's own stream takes in."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
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
            self.heard.notify_all()

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
        child.answer(ready=True)
        sys.stdin.readline()
        jobs, errors = _submit(canvas, order)
        child.answer(jobs=jobs, errors=errors)
        came = witness.wait_for(json.loads(sys.stdin.readline())["last"])
        child.answer(complete=came and witness.complete(), events=len(witness.seqs) - 1)


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
