"""Makes the virtual environment: `python bootstrap.py FOLDER`. Standard library only.

Says what it is doing, and names what the system lacks together with the command that installs it.
So that it can name the Python that it needs, an older one, from 3.8 on, has to be able to read this
file and what it imports.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import llama_wheel

OLDEST, NEWEST = (3, 11), (3, 13)
ROOT = Path(__file__).resolve().parent
PIP = "pip==26.0"


def main() -> int:
    target = Path(sys.argv[1])
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        other = next(
            (
                name
                for minor in range(NEWEST[1], OLDEST[1] - 1, -1)
                if shutil.which(name := f"python3.{minor}")
            ),
            None,
        )
        if other:
            return subprocess.call([other, __file__, *sys.argv[1:]])
        return lacks(
            f"Python 3.11 to 3.13 (this is {platform.python_version()})",
            "sudo apt-get install python3.11 python3.11-venv",
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = sysconfig.get_python_version()
        return lacks("Python's venv module", f"sudo apt-get install python{version}-venv")
    python = target / "bin" / "python"
    if not is_whole(python):
        say(f"making {target} with Python {platform.python_version()}")
        run(sys.executable, "-m", "venv", str(target))
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, PIP)
    if not with_llama(python, pip):
        return 1
    say("installing the pinned packages (the largest is torch; a few minutes the first time)")
    run(
        *pip,
        "--constraint",
        str(ROOT / "constraints.txt"),
        # What builds the packages below comes into environments of its own.
        "--build-constraint",
        str(ROOT / "constraints.txt"),
        "--editable",
        f"{ROOT}[lab]",
        # The tests' extension, found by its entry point as a user's would be.
        "--editable",
        str(ROOT / "extensions" / "echo"),
        "--group",
        f"{ROOT / 'pyproject.toml'}:dev",
    )
    say("ready")
    return 0


def is_whole(python: Path) -> bool:
    """Whether an environment was made to its end: the list of pip's files is written last."""
    program = "from importlib.metadata import files; assert files('pip')"
    try:
        return (
            subprocess.run([str(python), "-c", program], stderr=subprocess.DEVNULL).returncode == 0
        )
    except OSError:
        return False


def with_llama(python: Path, pip: list[str]) -> bool:
    """Install llama-cpp-python from the user's wheel; whether that was possible."""
    constraints = ROOT / "constraints.txt"
    if llama_wheel.installed(python, llama_wheel.pinned(constraints.read_text())):
        return True
    try:
        wheel = llama_wheel.provide(python, constraints, say)
    except llama_wheel.CannotCompile as missing:
        if missing.command:
            lacks(str(missing), missing.command)
        else:
            say(str(missing))
        return False
    # What it needs comes with everything else.
    run(*pip, "--no-deps", str(wheel))
    return True


def say(text: str) -> None:
    print(f"== set-up: {text}", flush=True)


def lacks(what: str, command: str) -> int:
    say(f"missing: {what}. On Debian or Ubuntu: {command}")
    return 1


def run(*command: str) -> None:
    code = subprocess.call(command)
    if code:
        say(f"failed: {' '.join(command)}")
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
