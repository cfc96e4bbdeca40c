"""What processes write: the shape of lines, levels, and what is kept out of them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.logs.redaction import HIDDEN, redact


def lines_of(code: str, path: Path, **environ: str) -> list[dict[str, Any]]:
    """What a process logs that is set up as ours are."""
    start = "import sys\nfrom pathlib import Path\nfrom mysticanvas import logs\n"
    start += "logs.configure(Path(sys.argv[1]), 'test')\nlog = logs.get('mysticanvas.test')\n"
    command = [sys.executable, "-c", start + textwrap.dedent(code), str(path)]
    subprocess.run(command, env=environ, capture_output=True, check=False)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_ours_and_those_of_libraries_have_one_shape(tmp_path: Path) -> None:
    code = """
        import logging, warnings, threading
        with logs.bind(request_id="r-1", job_id=""):
            log.info("said", number=1, path=Path("/x"), text="ü")
        logging.getLogger("library").warning("number %d", 2)
        warnings.warn("careful")
        for end in (lambda: 1 / 0, sys.exit):
            thread = threading.Thread(target=end)
            thread.start()
            thread.join()
    """
    lines = lines_of(code, tmp_path / "a.jsonl")
    assert all(list(line)[:5] == ["at", "level", "process", "pid", "event"] for line in lines)
    said, library, warning, *threads = lines
    assert said | {"at": "", "pid": 0} == {
        "at": "", "level": "info", "process": "test", "pid": 0, "event": "said", "number": 1,
        "path": "PosixPath('/x')", "text": "ü", "request_id": "r-1", "logger": "mysticanvas.test",
    }  # fmt: skip
    assert (library["event"], library["logger"]) == ("number 2", "library")
    assert "careful" in warning["event"]
    ended = [("uncaught_error", "critical")] * 2
    assert [(thread["event"], thread["level"]) for thread in threads] == ended
    errors = zip(("ZeroDivisionError", "SystemExit"), threads, strict=True)
    assert all(name in thread["exception"] for name, thread in errors)


@pytest.mark.parametrize(
    ("level", "seen"),
    [("debug", [1, 2, 3, 5]), ("INFO", [2, 3, 5]), ("warning", [3]), ("nonsense", [2, 3, 5])],
)
def test_the_level_is_a_setting_and_libraries_are_quiet(
    tmp_path: Path, level: str, seen: list[int]
) -> None:
    code = """
        import logging
        log.debug("x", number=1)
        log.info("x", number=2)
        log.warning("x", number=3)
        for name in ("httpcore.http11", "websockets.server", "other"):
            logging.getLogger(name).debug("Authorization: Bearer abc")
        logging.getLogger("other").info("5")
    """
    lines = lines_of(code, tmp_path / "a.jsonl", MYSTICANVAS_LOG_LEVEL=level)
    assert [line.get("number", 5) for line in lines] == seen


def test_secrets_are_never_written_and_prompts_at_debug_level_alone() -> None:
    given = {
        "level": "info",
        "event": "sent Authorization: Bearer abc.def-1",
        "token": "abc",
        "Authorization": "x",
        "prompt": "a castle",
        "exception": "headers={'authorization': 'Bearer abc'}",
        "number": 3,
    }
    assert redact(None, "", dict(given)) == {
        "level": "info",
        "event": f"sent Authorization: Bearer {HIDDEN}",
        "token": HIDDEN,
        "Authorization": HIDDEN,
        "prompt": HIDDEN,
        "exception": f"headers={{'authorization': 'Bearer {HIDDEN}'}}",
        "number": 3,
    }
    assert redact(None, "", given | {"level": "debug"})["prompt"] == "a castle"


def test_an_error_of_a_contract_does_not_quote_a_prompt() -> None:
    with pytest.raises(ValidationError) as refused:
        GenerateRequest.model_validate({"params": {"prompt": ["a castle"]}})
    assert "castle" not in str(refused.value)
    assert refused.value.errors()[0]["input"] == ["a castle"]


def test_reading_loads_no_structlog() -> None:
    code = "import sys; from mysticanvas.logs import capture, story, following; "
    code += "print('structlog' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
