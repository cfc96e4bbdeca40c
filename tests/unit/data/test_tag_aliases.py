"""The aliases that ship: normalized, no name twice, no circles, not too many."""

import tomllib
from pathlib import Path

from mysticanvas.contracts.tags import normalized
from mysticanvas.settings import data_folder
from mysticanvas.store import starter_aliases

FILE = data_folder() / "tags" / "aliases.toml"
SUBJECTS = tomllib.loads(FILE.read_text("utf-8"))
PAIRS = [
    (alias, tag) for tags in SUBJECTS.values() for tag, names in tags.items() for alias in names
]
TAGS = [tag for tags in SUBJECTS.values() for tag in tags]


def test_every_name_is_normalized() -> None:
    for name in [*TAGS, *(alias for alias, _ in PAIRS)]:
        assert normalized(name) == name


def test_a_name_is_a_tag_or_an_alias_once() -> None:
    aliases = [alias for alias, _ in PAIRS]
    assert len({*aliases, *TAGS}) == len(aliases) + len(TAGS)


def test_they_are_read_as_they_are_written() -> None:
    assert starter_aliases.read(data_folder()) == dict(PAIRS)
    assert starter_aliases.read(data_folder())["b&w"] == "black and white"


def test_they_are_in_the_wheel() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["data/tags"] == "mysticanvas/_data/tags"
