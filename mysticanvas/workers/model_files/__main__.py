"""Look at one model file, in a process of its own, and say what it is.

    python -m mysticanvas.workers.model_files --parent-pid PID PATH

writes an `Inspection` as JSON. Files may be hostile, so whoever asks sets a time limit; the process
ends with the one that asked.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path

from mysticanvas import processes
from mysticanvas.contracts.llm import LanguageModel
from mysticanvas.contracts.model_files import Inspection
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.llm import metadata
from mysticanvas.workers.model_files import architectures, headers
from mysticanvas.workers.model_files.gguf import Header

MEMORY_BYTES = 4 << 30
"""Of address space, several times what the largest header takes."""
CPU_SECONDS = 60
"""More than whoever asks waits for: it counts when nobody is there to give this process up."""


def inspect(path: Path) -> Inspection:
    """What a file is; a damaged one has a problem."""
    try:
        contents = headers.read(path)
    except ModelFileError as error:
        unread = isinstance(error.__cause__, OSError)
        return Inspection(problem=Problem.of(error), unread=unread)
    language, not_language = _language(contents.header, path)
    return Inspection(
        gguf_architecture=_named(contents.header),
        language=language,
        not_language=not_language,
        architecture=architectures.identify(contents.shapes),
        numbers=contents.numbers,
        weights_bytes=contents.gguf_bytes,
        is_lora=architectures.is_lora(contents.shapes),
    )


def _named(header: Header | None) -> str | None:
    named = None if header is None else header.values.get("general.architecture")
    return named if isinstance(named, str) else None


def _language(header: Header | None, path: Path) -> tuple[LanguageModel | None, Problem | None]:
    """The language model of a GGUF file, or why it is none."""
    if header is None:
        return None, None
    try:
        return metadata.describe(header, path), None
    except ModelFileError as error:
        return None, Problem.of(error)


def main() -> None:
    """Look at one file."""
    parser = argparse.ArgumentParser(prog="python -m mysticanvas.workers.model_files")
    parser.add_argument("--parent-pid", required=True, type=int, help="process to end with")
    parser.add_argument("path", type=Path, help="the file")
    arguments = parser.parse_args()
    processes.die_with_parent(arguments.parent_pid)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.stdout.write(inspect(arguments.path).model_dump_json())


if __name__ == "__main__":
    main()
