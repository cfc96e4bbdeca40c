"""The runtime file: how a kernel finds the orchestrator of a home."""

from __future__ import annotations

from pydantic import JsonValue

from mysticanvas.contracts.base import Contract


class Runtime(Contract):
    """Contents of `run/orchestrator.json` (mode 0600, since it holds the token)."""

    url: str
    token: str
    pid: int
    started_at: float
    """Start of the process as the system tells it; with `pid` and `boot_id` it is an identity."""
    boot_id: str
    host: str
    """Name of its machine or container. On another one nothing can be seen of the process but the
    lock that it has on the store."""
    version: str
    protocol: int
    prefix: str
    """`sys.prefix` of its interpreter."""
    listener: tuple[int, int] | None = None
    """Descriptor and inode of the socket that listens at `url`: as long as the process has that,
    nobody else can answer there."""
    settings: dict[str, JsonValue] = {}
    """What it was started with."""
