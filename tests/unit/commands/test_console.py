"""What commands print for people."""

from __future__ import annotations

import io

import pytest

from mysticanvas.commands.console import Console, complain, duration, say, size, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    stream: io.StringIO, environ: dict[str, str], colour: bool
) -> None:
    console = Console.of(stream, environ)
    assert console.colour is colour
    assert console.paint("x", "red", "bold") == ("\033[31;1mx\033[0m" if colour else "x")
    assert console.paint("x") == "x"


def test_what_is_printed_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert Console(colour=True).paint("a\x1b[2J", "red") == "\033[31ma\\x1b[2J\033[0m"
    assert Console(colour=False).paint("\x9b2J") == "\\x9b2J"
    say("a\x1b[2J\nb")
    complain(ValueError("\x07"))
    assert capsys.readouterr() == ("a\\x1b[2J\nb\n", "mysticanvas: \\x07\n")


def test_a_table_has_its_columns_one_below_the_other() -> None:
    assert table([("a", "long cell", "x"), ("longer", "b", "")]) == [
        "a       long cell  x",
        "longer  b",
    ]


def test_sizes_and_durations() -> None:
    assert [size(value) for value in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        "0 B", "1,023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"
    ]  # fmt: skip
    assert [duration(value) for value in (0.4, 59, 61, 3600, 90_061)] == [
        "0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"
    ]  # fmt: skip
