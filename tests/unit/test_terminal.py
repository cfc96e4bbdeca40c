"""What may go to a terminal."""

from mysticanvas.terminal import printable


def test_control_characters_are_shown_not_sent() -> None:
    assert printable("a\x1b[2J\x07ü\n") == "a\\x1b[2J\\x07ü\n"
