"""What IPython shows of an error of ours; the integration tests have more of it, in a kernel."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def shown(cell: str) -> str:
    """What IPython prints of a cell that fails."""
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(colors='nocolor')\n"
        f"shell.run_cell({textwrap.dedent(cell)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout + done.stderr


def test_an_error_that_is_made_of_other_things_is_shown_as_any() -> None:
    said = shown("""
        from mysticanvas import InvalidRequest
        from mysticanvas.contracts.refusal import refused
        from mysticanvas.session import arguments

        class Mine(InvalidRequest):
            def __init__(self, a, b):
                super().__init__(f"{a} and {b}", hint="Do it.")

        class Odd:
            def __iter__(self):
                raise Mine("one", "two")

        arguments.listed(Odd())
    """)
    assert said.rstrip().endswith("Mine: one and two Do it.")
    assert "Unexpected exception formatting" not in said


@pytest.mark.parametrize(
    ("cause", "is_shown"), [("from error", "direct cause"), ("from None", ""), ("", "During")]
)
def test_what_a_user_says_an_error_comes_of_stays(cause: str, is_shown: str) -> None:
    said = shown(f"""
        from mysticanvas import InvalidRequest

        try:
            1 / 0
        except ZeroDivisionError as error:
            raise InvalidRequest("No.") {cause}
    """)
    for words in ("direct cause", "During"):
        assert (words in said) == (words == is_shown)
    assert said.rstrip().endswith("InvalidRequest: No.")
