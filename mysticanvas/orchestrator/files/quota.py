"""The limit that a user sets on the disk that pictures take: a pure decision."""

from __future__ import annotations

from mysticanvas.errors import StoreFull

_MIB = 1 << 20
_PIXEL_BYTES = 3


def expected(width: int, height: int, images: int) -> int:
    """Bytes that pictures take at most: a PNG is hardly ever larger than its pixels."""
    return width * height * images * _PIXEL_BYTES


def check(used: int, more: int, quota_mib: int | None) -> None:
    """Refuse what would exceed the limit.

    Args:
        used: bytes of all files of pictures.
        more: bytes that are to be added.
        quota_mib: the limit in MiB; None for none.

    Raises:
        StoreFull: it would be exceeded; names the limit, what is used, and the way out.
    """
    if quota_mib is None or used + more <= quota_mib * _MIB:
        return
    raise StoreFull(
        f"The pictures take {used / _MIB:,.0f} MiB, and {more / _MIB:,.1f} MiB more would exceed "
        f"the quota of {quota_mib:,} MiB.",
        hint="`mysticanvas prune --help` says how to remove old pictures; or set "
        "MYSTICANVAS_DISK_QUOTA_MIB to a larger number.",
    )
