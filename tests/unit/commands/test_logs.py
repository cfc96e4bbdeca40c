"""Whose lines `mysticanvas logs` shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas.__main__ import main
from mysticanvas.logs.file import LogFile

LINE = b'{"at": "2026-05-04T10:00:00.000000Z", "level": "info", "event": "of somebody"}\n'


@pytest.mark.parametrize("option", ["--job", "--request"])
def test_an_id_that_is_empty_is_nobodys_and_shows_nothing(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    LogFile(tmp_path / "logs" / "one.jsonl").write(LINE)
    assert main(["logs", "--json", "--home", str(tmp_path)]) == 0
    assert "of somebody" in capsys.readouterr().out
    assert main(["logs", option, "", "--home", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"'' is no id of a {option.removeprefix('--')}" in told.err
    assert "4 or more characters" in told.err
