"""Wrong usage is told with how it is right."""

from __future__ import annotations

import pytest

from mysticanvas.__main__ import main
from mysticanvas.home import default_home


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "usage", "guess"),
    [
        (["doctor", "--repiar"], "usage: mysticanvas doctor ", "--repair"),
        (["doctor", "--fix"], "usage: mysticanvas doctor ", None),
        (["stop", "--now"], "usage: mysticanvas stop ", None),
        (["stop", "now"], "usage: mysticanvas stop ", None),
        (["statuss"], "usage: mysticanvas ", "status"),
        (["--vresion"], "usage: mysticanvas ", None),
        (["restore"], "usage: mysticanvas restore ", None),
    ],
)
def test_the_usage_is_that_of_the_command_and_the_nearest_word_is_named(
    capsys: pytest.CaptureFixture[str], words: list[str], usage: str, guess: str | None
) -> None:
    told = refused(capsys, *words)
    assert told.startswith(usage)
    assert ("did you mean" in told) is (guess is not None)
    assert guess is None or told.endswith(f"; did you mean {guess}?\n")


def test_the_help_names_the_home(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data/100%s")
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["status", "--help"]) == 0
    assert f"MYSTICANVAS_HOME, else {default_home()})" in capsys.readouterr().out
