"""What may go to a terminal."""

from mysticanvas.terminal import MAX_LINES, last_lines, printable


def test_control_characters_are_shown_not_sent() -> None:
    assert printable("a\x1b[2J\x07ü\n") == "a\\x1b[2J\\x07ü\n"


def test_the_last_lines_are_few_and_short() -> None:
    lines = last_lines([*(f"line {k}" for k in range(50)), "", "x" * 9999])
    assert len(lines) == MAX_LINES
    assert lines[0] == "line 46"
    assert len(lines[-1]) == 300


def test_the_last_lines_do_not_steer_a_terminal() -> None:
    assert last_lines(["\x1b]0;owned\x07red\x1b[31m"]) == ("\\x1b]0;owned\\x07red\\x1b[31m",)
