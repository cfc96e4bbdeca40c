from __future__ import annotations

import os
from pathlib import Path

import pytest

from mysticanvas import import_path


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        (None, None),
        ("", None),
        ("/of/the/user", None),
        ("/of/the/user:HERE", "/of/the/user:HERE"),
        ("HERE:/libraries", "HERE:/libraries"),
        ("LINK", "LINK"),
        ("relative::HERE:", "HERE"),
        ("HERE/mysticanvas", None),
    ],
)
def test_the_variable_goes_on_if_it_is_by_that_that_we_were_found(
    given: str | None, needed: str | None, tmp_path: Path
) -> None:
    here, link = tmp_path / "here", tmp_path / "link"
    here.mkdir()
    link.symlink_to(here)

    def told(entries: str) -> dict[str, str]:
        there = entries.replace("HERE", str(here)).replace("LINK", str(link))
        return {"PYTHONPATH": there.replace(":", os.pathsep)}

    environ = {} if given is None else told(given)
    expected = {} if needed is None else told(needed)
    assert import_path.needed(environ, here / "mysticanvas") == expected
