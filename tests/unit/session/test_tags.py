"""The tags of a canvas, without an orchestrator."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mysticanvas import Image, InvalidRequest
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.tags import TagOnImage, TagPage, TagRecord
from mysticanvas.session import arguments
from mysticanvas.session.collections.tags import Tags


class Answers:
    """Stands for connection and interface: notes what is asked, answers with pages of two."""

    NAMES = ("a", "b & c", "d", "e", "f")

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def call(self, ask: Any) -> Any:
        return ask(self)

    def tags(self, prefix: str = "", project: str | None = None, **query: Any) -> TagPage:
        self.asked.append((prefix, project))
        start = int(query.get("cursor") or 0)
        items = [TagRecord(name=name, count=3) for name in self.NAMES[start : start + 2]]
        more = start + 2 < len(self.NAMES)
        return TagPage(items=items, next_cursor=str(start + 2) if more else None, total=5)

    def add_tags(self, ids: list[str], names: list[str]) -> None:
        self.asked.append(("add", (len(ids), names)))


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def tags(answers: Any) -> Tags:
    return Tags(answers, "castle")


def test_walking_goes_across_pages(tags: Tags, answers: Answers) -> None:
    assert [tag.name for tag in tags] == list(Answers.NAMES)
    assert len(tags.list("x")) == len(tags) == 5
    assert answers.asked[0] == ("", "castle")
    assert answers.asked[3] == ("x", "castle")


def test_the_display_is_html_with_names_escaped_and_says_what_is_left(tags: Tags) -> None:
    shown = tags._repr_html_()
    assert ">b &amp; c</td>" in shown
    assert "and 3 more" in shown


def test_many_pictures_are_tagged_in_batches(tags: Tags, answers: Answers) -> None:
    tags.add((new_id() for _ in range(501)), "Ink", "ink")
    assert answers.asked == [("add", (500, ["Ink"])), ("add", (1, ["Ink"]))]
    tags.add([new_id()])
    assert len(answers.asked) == 2


def test_a_bad_name_is_refused_before_anything_is_sent(tags: Tags, answers: Answers) -> None:
    for bad in ("", "a\x00", ["a"]):
        with pytest.raises(InvalidRequest):
            tags.add([new_id()], bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        tags.list(limit=0)
    assert not answers.asked


def test_one_picture_is_no_list_of_them(
    tags: Tags, answers: Answers, make_image: Callable[..., Image]
) -> None:
    image = make_image()
    for bad in (image, image.id, [1], [image.id[-8:]], None):
        for change in (tags.add, tags.remove):
            with pytest.raises(InvalidRequest, match="several pictures") as refused:
                change(bad, "noir")  # type: ignore[arg-type]
            assert refused.value.parameter == "images"
    assert not answers.asked


def test_there_may_be_too_many_names(tags: Tags, answers: Answers) -> None:
    names = [f"tag {k}" for k in range(101)]
    with pytest.raises(InvalidRequest, match="at most 100 names") as refused:
        tags.add([new_id()], *names)
    assert refused.value.parameter == "names"
    assert not answers.asked
    tags.add([new_id()], *names[:100], "TAG 1")
    assert answers.asked


def test_what_a_picture_has_is_no_list_to_be_changed(
    make_image: Callable[..., Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    found = [TagOnImage(name=name, source=source) for name, source in (
        ("ink", "user"), ("sky", "user"), ("ink", "vision"),
    )]  # fmt: skip
    answers = SimpleNamespace(tags_of=lambda image_id: found)
    monkeypatch.setattr(image._connection, "call", lambda ask: ask(answers))
    assert image.tags == ("ink", "sky")


@pytest.mark.parametrize("given", [["a", "b"], ("a", "b"), iter("ab")])
def test_tags_of_a_request_come_from_anything_that_can_be_walked_through(given: Any) -> None:
    request = arguments.request("x", {"tags": given}, {}, None)
    assert request.params.tags == ["a", "b"]
