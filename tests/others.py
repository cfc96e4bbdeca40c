"""Other processes that use a canvas, as kernels of other notebooks do."""

from __future__ import annotations

import subprocess
import sys
import textwrap

LISTENING = """
    import sys
    from mysticanvas import Canvas
    canvas = Canvas(home=sys.argv[1])
    canvas._connection._stream.wait_connected(60)
    print("listening", flush=True)
    sys.stdin.readline()
"""
"""Says so, and stays until it is told a line; takes a home."""


def kernel(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """A process that runs some code, with pipes for what it reads and prints."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]  # those of Popen
    )
