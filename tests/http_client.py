"""HTTP as a stranger's library speaks it, to a server of ours at any kind of address."""

from __future__ import annotations

import httpx

from mysticanvas import transport


def client(url: str, token: str, timeout_s: float = 60) -> httpx.Client:
    """A client whose requests go to that address and carry the token."""
    path = transport.socket_path(url)
    return httpx.Client(
        base_url=url if path is None else "http://localhost",
        transport=None if path is None else httpx.HTTPTransport(uds=str(path), trust_env=False),
        headers={"Authorization": f"Bearer {token}"},
        timeout=timeout_s,
        trust_env=False,
        # Loading the certificates of the internet takes longer than a call.
        verify=False,
    )
