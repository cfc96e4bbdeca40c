"""The process that reads a header, held at one that takes it long."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support import family, left_of

from mysticanvas.workers.model_files import __main__ as reader

ASKER = """
import sys
from pathlib import Path
from mysticanvas.orchestrator.inspection import Inspector
Inspector().inspect(Path(sys.argv[1]))
"""
WAIT_S = 60.0
TENSORS = 200_000


@pytest.mark.fault("SIGKILL of an orchestrator that asks about a file", "no process stays")
def test_it_has_limits_and_is_gone_with_whoever_asked(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(TENSORS))
    with subprocess.Popen([sys.executable, "-c", ASKER, str(path)]) as asker:
        try:
            reading = limited_child(asker.pid)
            # Whoever is held takes no news but the kernel's own.
            reading.suspend()
            assert reading.rlimit(resource.RLIMIT_CPU)[1] == reader.CPU_SECONDS
            there = family(asker.pid)
            assert reading.pid in {process.pid for process in there}
        finally:
            asker.kill()
    try:
        assert left_of(there, 2.0) == []
    finally:
        for process in left_of(there, 0.0):
            os.kill(process.pid, signal.SIGKILL)


def with_header(tensors: int) -> bytes:
    """The content of a file with so many tensors of a byte each."""
    header = {
        f"t{at}": {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]}
        for at in range(tensors)
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(tensors)


def limited_child(asker: int) -> psutil.Process:
    """The process that reads, once it has its limits."""
    deadline = time.monotonic() + WAIT_S
    while True:
        assert time.monotonic() < deadline
        for child in psutil.Process(asker).children():
            if child.rlimit(resource.RLIMIT_AS)[1] == reader.MEMORY_BYTES:
                return child
        time.sleep(0.002)
