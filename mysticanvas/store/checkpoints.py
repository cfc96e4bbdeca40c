"""When the write-ahead log is moved into the database file, and what room that takes.

The log is replayed twice when a store is opened after a kill: once to look at it, once to go on. A
commit takes about a millisecond of that, however small it is, so commits count beside bytes.
"""

from __future__ import annotations

MAX_COMMITS = 250
MAX_BYTES = 16 << 20


def due(commits: int, log_bytes: int) -> bool:
    """Whether the log is to be moved.

    Args:
        commits: how many it holds.
        log_bytes: its size.
    """
    return commits >= MAX_COMMITS or log_bytes >= MAX_BYTES


def room(log_bytes: int, file_bytes: int) -> int:
    """Bytes that have to be free: what was added is written in another form, and part of what it is
    added to once more."""
    return 2 * log_bytes + file_bytes // 4
