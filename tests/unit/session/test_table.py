"""Tables as a notebook shows them."""

from __future__ import annotations

from mysticanvas.session import table


def test_everything_in_a_table_is_text() -> None:
    shown = table.of(("<a>", "b"), [("<b>", 3), (None, "")], title="<t>")
    assert shown.startswith(
        '<table><caption style="text-align:left;padding:.5em">&lt;t&gt;</caption>'
    )
    assert ">&lt;a&gt;</th>" in shown
    assert ">&lt;b&gt;</td>" in shown
    assert ">3</td>" in shown
    assert shown.count("></td>") == 2


def test_a_table_without_rows_is_a_sentence() -> None:
    assert table.of(("a",), [], title="things", none="none <yet>") == (
        "<p>things: none &lt;yet&gt;</p>"
    )


def test_what_is_left_out_is_counted() -> None:
    assert table.rest(0) == ""
    assert table.rest(1234, "older") == "<p>and 1,234 older</p>"
