"""The runtime file: how a kernel finds the orchestrator of a home."""

from __future__ import annotations

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
    version: str
    protocol: int
    prefix: str
    """`sys.prefix` of its interpreter."""
