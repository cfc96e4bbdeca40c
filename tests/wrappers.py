"""Launchers that start workers below a process of their own: a shell, or a container's first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import cast

from mysticanvas import processes
from mysticanvas.plugins.hookspecs import Launcher

SHELL = ("bash", "-c", '"$@"; exit $?', "wrapper")
NAMESPACE = ("unshare", "--map-root-user", "--pid", "--fork", "--kill-child")
"""As in a container, each worker is process 1."""


def wrapped(*more: str, wrapper: Sequence[str] = SHELL) -> Launcher:
    """A launcher of workers below a process of its own, with further arguments."""

    def spawn(
        module: str, arguments: list[str], *, environment: dict[str, str], secret: bytes
    ) -> processes.Spawned:
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [
                *(*wrapper, sys.executable, "-m", module),
                *("--ready-fd", str(writer), *arguments, *more),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(writer,),
            start_new_session=True,
        )
        os.close(writer)
        assert process.stdin is not None
        process.stdin.write(secret + b"\n")
        process.stdin.flush()
        return processes.Spawned(process, os.fdopen(reader, "rb"), process.stdout)

    return cast("Launcher", spawn)
