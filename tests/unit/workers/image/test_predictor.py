"""The helper process, as it is started."""

import os
import subprocess
import sys
from pathlib import Path

from architectures import REAL, order

from mysticanvas.contracts.tracing import TraceOrder, TraceReply

MOST_RSS = 1_000_000_000


def ask(wanted: TraceOrder) -> TraceReply:
    command = [sys.executable, "-m", "mysticanvas.workers.image.predictor"]
    done = subprocess.run(
        [*command, "--parent-pid", str(os.getpid())],
        input=wanted.model_dump_json() + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    [line] = done.stdout.splitlines()
    return TraceReply.model_validate_json(line)


def test_a_first_prediction_of_xl_allocates_no_weights() -> None:
    answer = ask(order("cuda", "float16", REAL / "sdxl")).answer
    assert answer is not None
    assert len(answer.profile.traced) == len(answer.keys) == 5
    assert answer.peak_rss < MOST_RSS


def test_a_folder_that_is_no_model_is_a_problem(tmp_path: Path) -> None:
    problem = ask(order("cpu", "float32", tmp_path)).problem
    assert problem is not None
    assert problem.code == "model_file_error"
