"""Look at one model file, in a process of its own, and say what it is.

    python -m mysticanvas.workers.model_files PATH

writes an `Inspection` as JSON. Files may be hostile, so whoever asks sets a time limit.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from mysticanvas.contracts.model_files import Inspection
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.model_files import architectures, headers

MEMORY_BYTES = 4 << 30
"""Of address space, several times what the largest header takes."""


def inspect(path: Path) -> Inspection:
    """What a file is; a damaged one has a problem."""
    try:
        contents = headers.read(path)
    except ModelFileError as error:
        return Inspection(problem=Problem.of(error))
    return Inspection(
        architecture=architectures.identify(contents.shapes),
        numbers=contents.numbers,
        weights_bytes=contents.gguf_bytes,
        is_lora=architectures.is_lora(contents.shapes),
    )


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.stdout.write(inspect(Path(sys.argv[1])).model_dump_json())


if __name__ == "__main__":
    main()
