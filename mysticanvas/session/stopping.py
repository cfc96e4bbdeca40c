"""Asking an orchestrator to end, which starts none: others may be ending it at the same time."""

from __future__ import annotations

import contextlib

import psutil

from mysticanvas.client.endpoint import Endpoint
from mysticanvas.processes import Identity


def ask(endpoint: Endpoint, force: bool, client: str, answer_s: float, patience_s: float) -> bool:
    """Ask it to end, unless it is about to.

    Args:
        client: the label of who asks, who is not among the others that use it.
        patience_s: seconds within which one that hangs up has to be seen to end.

    Returns:
        Whether it ends; one that does not answer is not known to.

    Raises:
        Conflict: others use it, and `force` is not set; the error names them.
        MystiCanvasError: it refuses, one of another version say.
    """
    from mysticanvas.client.http import AnswerTimeout, ConnectionLost, HttpClient, Stopping

    http = HttpClient(endpoint.url, endpoint.token, endpoint.alive)
    try:
        http.request(
            "POST", "/v1/shutdown", body={"force": force, "client": client}, answer_s=answer_s
        )
    except Stopping:
        return True
    except AnswerTimeout:
        return not endpoint.alive()
    except ConnectionLost:
        # The last it does for those inside is to hang up; that it listens no more is seen then.
        return endpoint.wait_gone(patience_s)
    finally:
        http.close()
    return True


def processes(orchestrator: Identity) -> list[Identity]:
    """An orchestrator and what it has started."""
    found = [orchestrator]
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(orchestrator.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(Identity.of(child.pid))
    return found
