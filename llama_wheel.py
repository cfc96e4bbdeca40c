"""llama-cpp-python, which comes as source alone: compiled once for a user, kept as a wheel.

Standard library only. The wheel lies in the user's cache directory, in a folder named after all
that it depends on, so that the next environment has it in seconds.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

NAME = "llama-cpp-python"
_STEP = re.compile(r"\[(\d+)/(\d+)\] ")
_TOLD_AT = (25, 50, 75)
_LAST_LINES = 30
_X86_FEATURES = {
    "sse4_2": "SSE42", "avx": "AVX", "avx2": "AVX2", "bmi2": "BMI2", "fma": "FMA", "f16c": "F16C",
}  # fmt: skip
"""What the kernel and what ggml call an instruction set that the build would use."""


class CannotCompile(Exception):
    """Something is missing or failed; the text says what, `.command` how to get what is missing."""

    def __init__(self, what: str, command: str = "") -> None:
        super().__init__(what)
        self.command = command


def pinned(constraints: str) -> str:
    """The release that a constraints file names."""
    match = re.search(rf"^{NAME}==(\S+)$", constraints, re.MULTILINE)
    assert match is not None, f"{NAME} is pinned"
    return match[1]


def flags(chosen: str | None, machine: str, cpu_features: Iterable[str]) -> str:
    """What CMake is told.

    Args:
        chosen: the variable CMAKE_ARGS, which goes before all else, for a GPU say.
        machine: as `platform.machine()`.
        cpu_features: as in /proc/cpuinfo; empty where it does not say.
    """
    if chosen:
        return chosen
    told = ["-DLLAMA_OPENSSL=OFF"]
    if machine in ("x86_64", "AMD64"):
        # Not for this very processor: a cache directory may be shared with an older machine.
        told.append("-DGGML_NATIVE=OFF")
        if features := set(cpu_features):
            lacking = [name for seen, name in _X86_FEATURES.items() if seen not in features]
            told += [f"-DGGML_{name}=OFF" for name in lacking]
    return " ".join(told)


def folder(version: str, cmake_args: str) -> Path:
    """Where the wheel lies: for this release, Python, platform and these flags."""
    libc = "".join(platform.libc_ver())
    python = sysconfig.get_python_version()
    digest = hashlib.sha256(cmake_args.encode()).hexdigest()[:12]
    key = f"{NAME}-{version}-py{python}-{sysconfig.get_platform()}-{libc}-{digest}"
    return _cache() / "mysticanvas" / "wheels" / key


def provide(python: Path, constraints: Path, say: Callable[[str], None]) -> Path:
    """The wheel, compiled if there is none yet.

    Args:
        python: of the environment whose pip compiles.
        constraints: the pinned releases, build tools among them.
        say: tells the user what is going on.

    Raises:
        CannotCompile: a compiler is missing, or the compilation failed.
    """
    version = pinned(constraints.read_text())
    cmake_args = flags(os.environ.get("CMAKE_ARGS"), platform.machine(), _cpu_features())
    target = folder(version, cmake_args)
    if not (found := sorted(target.glob("*.whl"))):
        _require_compilers()
        say(
            f"compiling {NAME} {version} ({cmake_args}), once for this user and kept in {target}; "
            "four minutes on two idle cores"
        )
        began = time.monotonic()
        _compile(python, version, cmake_args, constraints, target, say)
        say(f"compiled in {time.monotonic() - began:.0f} s")
        found = sorted(target.glob("*.whl"))
    return found[0]


def installed(python: Path, version: str) -> bool:
    """Whether an environment has that release."""
    program = f"from importlib.metadata import version; print(version({NAME!r}))"
    answer = subprocess.run([python, "-c", program], capture_output=True, text=True)
    return answer.stdout.strip() == version


def _compile(
    python: Path,
    version: str,
    cmake_args: str,
    constraints: Path,
    target: Path,
    say: Callable[[str], None],
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Elsewhere first, so that what is in place is whole, whatever ends us meanwhile.
    with tempfile.TemporaryDirectory(dir=target.parent) as making:
        command = [
            *(str(python), "-m", "pip", "wheel", "--verbose", "--disable-pip-version-check"),
            # pip's own cache does not know about flags.
            *("--no-cache-dir", "--no-deps", "--no-binary", NAME),
            *("--build-constraint", str(constraints), "--wheel-dir", making, f"{NAME}=={version}"),
        ]
        environment = {
            **os.environ,
            "CMAKE_ARGS": cmake_args,
            "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
        }
        code, last = _follow(command, environment, say)
        if code:
            raise CannotCompile(f"{NAME} could not be compiled:\n" + "\n".join(last))
        target.mkdir(exist_ok=True)
        for wheel in Path(making).glob("*.whl"):
            wheel.replace(target / wheel.name)


def _follow(
    command: list[str], environment: dict[str, str], say: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Run it, and tell how far it is; its exit code and last lines."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    due = list(_TOLD_AT)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip()[:500])
            step = _STEP.search(line)
            if step and due and int(step[1]) * 100 >= due[0] * int(step[2]):
                say(f"compiling: {due.pop(0)} %")
    return process.returncode, list(last)


def _require_compilers() -> None:
    for variable, names in (("CC", ("cc", "gcc", "clang")), ("CXX", ("c++", "g++", "clang++"))):
        named = os.environ.get(variable, "").split()[:1]
        if not any(shutil.which(name) for name in named or names):
            what = f"a C and C++ compiler ({' or '.join(named or names)})"
            if sys.platform == "darwin":
                raise CannotCompile(f"missing: {what}. Install it: xcode-select --install")
            raise CannotCompile(what, "sudo apt-get install build-essential")


def _cpu_features() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    match = re.search(r"^flags\s*: (.*)$", text, re.MULTILINE)
    return match[1].split() if match else []


def _cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
