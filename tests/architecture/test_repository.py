"""The repository says what is true of it."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT, capture_output=True, text=True, check=True,
).stdout.split()  # fmt: skip


def test_the_readmes_commands_are_targets_and_ci_runs_make_test() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"^make (\w+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
    assert re.search(r"^exec make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_the_readmes_python_is_python_and_its_files_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", readme):
        assert (ROOT / link).exists(), link


def test_architecture_names_every_package_and_only_what_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    package = ROOT / "mysticanvas"
    for child in package.iterdir():
        if (child / "__init__.py").exists() or child.suffix == ".py":
            assert f"{child.name}" in text, child.name
    for path in re.findall(
        r"`((?:mysticanvas|tests|benchmarks|data|extensions|notebooks)/[\w./-]*)`", text
    ):
        assert (ROOT / path).exists(), path


def test_architecture_says_where_every_folder_of_the_repository_belongs() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    places = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    for folder in {path.split("/")[0] for path in TRACKED if "/" in path}:
        assert any(f"`{folder}/" in place for place in places), folder


def test_everything_that_is_installed_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    echo = tomllib.loads((ROOT / "extensions" / "echo" / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *echo["build-system"]["requires"],
        # What these need, and what editable builds need.
        *("editables", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers"),
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["lab"],
        *project["dependency-groups"]["dev"],
    ]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    for requirement in wanted:
        name = re.split(r"[<>=\[]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, name


@pytest.mark.parametrize("call", ["torch.load(", "trust_remote_code=True", "eval(", "pickle."])
def test_nothing_unsafe_is_called(call: str) -> None:
    unsafe = re.compile(rf"(?<![\w.]){re.escape(call)}")
    for path in TRACKED:
        if path.startswith("mysticanvas/") and path.endswith(".py"):
            code = re.sub(r'""".*?"""|#.*', "", (ROOT / path).read_text(), flags=re.DOTALL)
            assert not unsafe.search(code), path


def test_no_large_file_is_tracked() -> None:
    for path in TRACKED:
        size = (ROOT / path).stat().st_size
        assert size < 26 << 20, path
