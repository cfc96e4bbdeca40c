"""What is installed, by the metadata on the path."""

from pathlib import Path

import pytest

from mysticanvas.plugins import candidates, loading


def install(folder: Path, name: str, entry_points: str, metadata: str | None = None) -> None:
    """A distribution's metadata, as an installer leaves it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(entry_points)
    if metadata is not None:
        (info / "METADATA").write_text(metadata)


def headers(name: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_every_entry_point_of_the_group_in_a_fixed_order(site: Path) -> None:
    points = "[mysticanvas]\nb = nowhere.b\na = nowhere.a\n[other]\nc = nowhere.c\n"
    install(site, "zz_two", points, headers("zz-two"))
    install(site, "other", "[other]\nd = nowhere.d\n", headers("other"))
    ours = [each for each in candidates.installed() if each.distribution == "zz-two"]
    assert [(each.name, each.version) for each in ours] == [("a", "1.0"), ("b", "1.0")]
    record = loading.tried(ours[0])
    assert record.reason == "ModuleNotFoundError: No module named 'nowhere'"


def test_the_first_on_the_path_counts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site / "old", "twice", "[mysticanvas]\na = nowhere_old\n", headers("twice"))
    install(site / "new", "twice", "[mysticanvas]\na = nowhere_new\n", headers("twice"))
    monkeypatch.syspath_prepend(str(site / "old"))
    monkeypatch.syspath_prepend(str(site / "new"))
    found = [each for each in candidates.installed() if each.distribution == "twice"]
    assert [loading.tried(each).reason for each in found] == [
        "ModuleNotFoundError: No module named 'nowhere_new'"
    ]


def test_an_entry_points_file_that_cannot_be_read_is_told(site: Path) -> None:
    install(site, "torn", "[mysticanvas]\nno equals sign\n", headers("torn"))
    install(site, "elsewhere", "[other]\nno equals sign\n", headers("elsewhere"))
    records = [loading.tried(each) for each in candidates.installed()]
    torn = next(record for record in records if record.distribution == "torn")
    assert "entry_points.txt cannot be read" in torn.reason


@pytest.mark.parametrize("file", ["entry_points.txt", "METADATA"])
def test_a_file_that_is_no_text_is_no_harm(site: Path, file: str) -> None:
    install(site, "binary", "[mysticanvas]\nlost = nowhere.lost\n", headers("binary"))
    (site / "binary-1.0.dist-info" / file).write_bytes(b"\xff\xfe[mysticanvas]\n")
    install(site, "fine", "[mysticanvas]\na = nowhere.a\n", headers("fine"))
    found = {each.distribution for each in candidates.installed()}
    assert "fine" in found
    assert ("unknown" in found) is (file == "METADATA")


def test_a_distribution_without_metadata_is_told_as_unknown(site: Path) -> None:
    install(site, "nameless", "[mysticanvas]\nlost = nowhere.lost\n")
    lost = next(each for each in candidates.installed() if each.name == "lost")
    assert lost.version == "unknown"
