"""A worker of language models that is lost when it is asked for one thing: `FAULT` is
`CALL:ACTION`, and the file `FAULT_MET` is there once that was so. Started as a worker is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from start_and_fail import ACTIONS

from mysticanvas.workers import __main__ as worker
from mysticanvas.workers.llm.engine import LLMEngine


def main() -> None:
    name, action = os.environ["FAULT"].split(":")
    met = Path(os.environ["FAULT_MET"])
    call = getattr(LLMEngine, name)

    def failing(*given: Any) -> Any:
        if not met.exists():
            met.touch()
            ACTIONS[action]()
        return call(*given)

    setattr(LLMEngine, name, failing)
    worker.main()


if __name__ == "__main__":
    main()
