"""How jobs are queued for a dispatcher, and how long they are waited for."""

from __future__ import annotations

from collections.abc import Callable

WAIT_S = 60

Submit = Callable[..., str]
