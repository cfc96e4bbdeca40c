"""What jobs took of the memory, a row for a phase of a job; the newest rows stay."""

from __future__ import annotations

from collections.abc import Sequence

from mysticanvas.contracts.measurements import MAX_MEASUREMENTS, Accuracy, Measurement
from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database, Row, Transaction

_DROPPED_AT_ONCE = 500

_SQL = queries.load("measurements")


class Measurements:
    """Measurements in the order in which they were added.

    Args:
        kept: how many stay, but for the last few hundred.
    """

    def __init__(self, database: Database, kept: int = MAX_MEASUREMENTS) -> None:
        self._database = database
        self._kept = kept
        self._seq: int | None = None

    def add(self, measured: Sequence[Measurement]) -> None:
        """Append rows; those that are too many by then leave, some hundred at a time.

        Raises:
            StoreFull, StoreError: none was added.
        """
        with self._database.write() as transaction:
            self.insert(transaction, measured)

    def insert(self, transaction: Transaction, measured: Sequence[Measurement]) -> None:
        """As `add`, together with what else the transaction does."""
        if not measured:
            return
        # In here, where there is one at a time.
        if self._seq is None:
            self._seq = int(transaction.run(_SQL["last"])[0]["seq"])
        last = self._seq + len(measured)
        transaction.insert(
            "memory_measurements",
            [_row(each, self._seq + place) for place, each in enumerate(measured, start=1)],
        )
        step = min(_DROPPED_AT_ONCE, self._kept)
        if last // step > self._seq // step:
            transaction.run(_SQL["drop_old"], seq=last - self._kept)
        # A number that a transaction takes and then does not keep is left out.
        self._seq = last

    def of_key(self, key: str, most: int) -> list[Measurement]:
        """The newest measurements of a key, oldest first."""
        return _measurements(self._database.read(_SQL["of_key"], key=key, most=most))

    def newest(self, most: int) -> list[Measurement]:
        """The newest measurements of all, oldest first, and what else the oldest run measured."""
        return _measurements(self._database.read(_SQL["newest"], most=most))

    def seconds(self, run_key: str, most: int) -> list[float]:
        """How long the newest jobs of a kind took, newest first."""
        found = self._database.read(_SQL["seconds"], run_key=run_key, most=most)
        return [float(row["seconds"]) for row in found]

    def accuracy(self) -> list[Accuracy]:
        """How near predictions came: over all that is kept, then by device and preset; empty if
        there is nothing to compare."""
        return [Accuracy.model_validate(row) for row in self._database.read(_SQL["accuracy"])]


def _row(measured: Measurement, seq: int) -> Row:
    return {
        "seq": seq,
        **measured.model_dump(exclude={"created_at", "mitigations"}),
        "mitigations": list(measured.mitigations),
        "created_at": times.to_db(measured.created_at),
    }


def _measurements(newest_first: Sequence[Row]) -> list[Measurement]:
    return [
        Measurement.model_validate({**row, "created_at": times.from_db(row["created_at"])})
        for row in reversed(newest_first)
    ]
