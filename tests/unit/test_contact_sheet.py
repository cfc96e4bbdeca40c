"""A page is whole or not there, and nothing else is written."""

from __future__ import annotations

from pathlib import Path

from mysticanvas import contact_sheet


def test_a_page_takes_the_place_of_its_own_file_alone(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.write_text("a user's own")
    (tmp_path / "sheet.part").symlink_to(others)
    page = tmp_path / "sheet.html"
    for _ in range(2):
        assert contact_sheet.write(page, "A <title>", []) == page
    assert "A &lt;title&gt;" in page.read_text()
    there = sorted(path.name for path in tmp_path.iterdir())
    assert there == ["others", "sheet.html", "sheet.part"]
    assert others.read_text() == "a user's own"
