"""Pictures whose words have changed since they were indexed."""

from __future__ import annotations

from collections.abc import Sequence

from mysticanvas.store import queries
from mysticanvas.store.connection import Transaction

_SQL = queries.load("search")


def touch(transaction: Transaction, image_seqs: Sequence[int]) -> None:
    """Have these pictures searched as they are from now on, in the transaction that changes them.

    Args:
        image_seqs: pictures whose tags, caption or style change, or that are deleted.
    """
    if image_seqs:
        transaction.run(_SQL["touch"], seqs=list(dict.fromkeys(image_seqs)))


def touch_tagged(transaction: Transaction, tag_id: int) -> None:
    """`touch` for every picture that has a tag, however many."""
    transaction.run(_SQL["touch_tagged"], tag_id=tag_id)
