"""Pictures whose words have changed since they were indexed."""

from __future__ import annotations

from collections.abc import Sequence

from mysticanvas.store.connection import Transaction

_MARK = """
INSERT INTO search_stale (image_seq) SELECT unnest($seqs::BIGINT[]) ON CONFLICT DO NOTHING
"""

_MARK_TAGGED = """
INSERT INTO search_stale (image_seq)
SELECT DISTINCT image_seq FROM image_tags WHERE tag_id = $tag_id
ON CONFLICT DO NOTHING
"""


def touch(transaction: Transaction, image_seqs: Sequence[int]) -> None:
    """Have these pictures searched as they are from now on, in the transaction that changes them.

    Args:
        image_seqs: pictures whose tags or caption change, or that are deleted.
    """
    if image_seqs:
        transaction.run(_MARK, seqs=list(dict.fromkeys(image_seqs)))


def touch_tagged(transaction: Transaction, tag_id: int) -> None:
    """`touch` for every picture that has a tag, however many."""
    transaction.run(_MARK_TAGGED, tag_id=tag_id)
