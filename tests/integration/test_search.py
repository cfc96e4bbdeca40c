"""Searches from the notebook, through the real processes."""

from pathlib import Path

import pytest

from mysticanvas import Canvas, InvalidRequest

QUICK = {"num_inference_steps": 1, "width": 32, "height": 32}


def test_a_picture_is_found_as_soon_as_it_is_made(canvas: Canvas, tiny_sd: Path) -> None:
    red = canvas.generate("a red castle in 4k", preset=tiny_sd, seed=1, **QUICK)
    assert list(canvas.search("castle")) == [red]
    blue = canvas.generate("a blue castle", preset=tiny_sd, seed=2, tags="film noir", **QUICK)
    page = canvas.search("castles 4K")
    assert list(page) == [red, blue]
    assert page[0].score > page[1].score > 0
    assert red.score is None
    assert list(canvas.search("castle -red")) == [blue]
    assert list(canvas.search('tag:"film noir"')) == [blue]
    assert list(canvas.search("castle seed:1")) == [red]

    first = canvas.search("castle", limit=1)
    assert (len(first), first.total) == (1, 2)
    assert {image.id for image in (*first, *first.next())} == {red.id, blue.id}
    assert not first.next().next()
    assert not canvas.search("castle", project="another")
    with pytest.raises(InvalidRequest, match="seed"):
        canvas.search("seed:abc")
    with pytest.raises(InvalidRequest):
        canvas.search(None)
