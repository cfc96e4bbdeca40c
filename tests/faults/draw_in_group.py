"""Draw a small picture and a large one in a control group, with all that a home starts.

Usage: draw_in_group.py GROUP HOME MODEL, all of them paths.
Prints what the device has, in MiB, and what became of the large picture.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mysticanvas import Canvas, MystiCanvasError

group, home, model = sys.argv[1:]
Path(group, "cgroup.procs").write_text(str(os.getpid()))
with Canvas(home=home) as canvas:
    canvas.generate("x", preset=model, num_inference_steps=1)
    try:
        canvas.generate(
            "x", preset=model, num_inference_steps=1, width=2560, height=2560, mitigations="none"
        )
        outcome = "drawn"
    except MystiCanvasError as error:
        outcome = error.code
    device = canvas.vram.device
    sys.stdout.write(f"{device.total_mib} {device.free_mib} {outcome}\n")
    canvas.shutdown()
