"""The limit that a user sets on the disk that pictures take: a pure decision."""

from __future__ import annotations

from mysticanvas.errors import StoreFull

_MIB = 1 << 20
_PIXEL_BYTES = 3


def expected(pixels: int) -> int:
    """Bytes that pictures take at most: a PNG is hardly ever larger than its pixels."""
    return pixels * _PIXEL_BYTES


def check(used: int, promised: int, more: int, quota_mib: int | None) -> None:
    """Refuse what would exceed the limit.

    Args:
        used: bytes of all files of pictures.
        promised: bytes that jobs may add which wait or run.
        more: bytes that are to be added to that.
        quota_mib: the limit in MiB; None for none.

    Raises:
        StoreFull: it would be exceeded; names the limit, what counts against it, and ways out.
    """
    if quota_mib is None or used + promised + more <= quota_mib * _MIB:
        return
    queue = f" jobs that wait or run may add {promised / _MIB:,.1f} MiB," if promised else ""
    raise StoreFull(
        f"The pictures take {used / _MIB:,.0f} MiB,{queue} and {more / _MIB:,.1f} MiB more would "
        f"exceed the quota of {quota_mib:,} MiB.",
        hint="`mysticanvas prune --help` says how to remove old pictures; or "
        f"{'cancel jobs or wait for them, or ' if promised else ''}"
        "set MYSTICANVAS_DISK_QUOTA_MIB to a larger number.",
    )
