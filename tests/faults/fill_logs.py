"""Work while the file system of the logs is full, and after there is room again.

Usage: fill_logs.py HOME PRESET; the home's `logs` folder is a small file system of its own.
Prints how many lines each process says that it dropped, and the events of the second job.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path

from mysticanvas import Canvas
from mysticanvas.logs import reading, story

home, preset = Path(sys.argv[1]), sys.argv[2]
ballast = home / "logs" / "ballast"
with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
    while True:
        file.write(bytes(1 << 10))
with Canvas(home=home) as canvas:
    full = canvas.submit("x", preset=preset, num_inference_steps=2)
    full.result(timeout=120)
    assert full.attempts == 1
    assert not reading.newest(home / "logs", 1, lambda _: True)
    ballast.unlink()
    job = canvas.submit("x", preset=preset, num_inference_steps=2)
    job.result(timeout=120)
    # The worker's lines travel over a pipe.
    for _ in range(600):
        events = {entry.members["event"] for entry in reading.newest(home / "logs", 99, bool)}
        if {"generate_done", "job_succeeded"} <= events:
            break
        time.sleep(0.1)
    entries = story.find(home / "logs", "job", job.id).read(home / "logs")
    canvas.shutdown()
dropped = {
    entry.members["process"]: entry.members["lines"]
    for entry in reading.newest(home / "logs", 99, bool)
    if entry.members["event"] == "log_lines_dropped"
}
said = {"dropped": dropped, "events": [entry.members["event"] for entry in entries]}
os.write(1, json.dumps(said).encode())
