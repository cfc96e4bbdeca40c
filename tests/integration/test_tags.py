"""Tags from the notebook to the store and back."""

from pathlib import Path

import pytest

from mysticanvas import Canvas, InvalidRequest, NotFound

QUICK = {"num_inference_steps": 1, "width": 32, "height": 32}


def test_pictures_are_tagged_found_and_their_tags_tidied(canvas: Canvas, tiny_sd: Path) -> None:
    made = canvas.generate(
        "a", preset=tiny_sd, seed=1, num_images=2, tags=["Sky_High", "grey", "sky high"], **QUICK
    )
    image, other = made
    # `grey` is another name of `gray` from the start.
    assert image.tags == other.tags == ("gray", "Sky_High")
    again = canvas.generate(
        "a", preset=tiny_sd, seed=1, num_images=2, tags="castle", reuse=True, **QUICK
    )
    assert again == made
    assert image.tags == ("castle", "gray", "Sky_High")
    image.add_tags("Sea-green", "CASTLE")
    other.remove_tags("castle", "unknown")
    assert image.tags == ("castle", "gray", "Sea-green", "Sky_High")
    assert other.tags == ("gray", "Sky_High")

    tags = canvas.tags
    assert [(tag.name, tag.count) for tag in tags] == [
        ("castle", 1), ("gray", 2), ("Sea-green", 1), ("Sky_High", 2),
    ]  # fmt: skip
    assert (len(tags), repr(tags)) == (4, "<Tags 4>")
    assert tags["GREY"].sources == {"user": 2}
    assert "sea-green" in tags
    assert "nope" not in tags
    assert [tag.name for tag in tags.list("sky", limit=1)] == ["Sky_High"]
    assert [tag.count for tag in tags.list(most_used=True)] == [2, 2, 1, 1]
    assert ">Sky_High</td>" in tags._repr_html_()

    assert tags.rename("sky high", "sky & <clouds>").count == 2
    assert tags.merge("sea-green", into="castle").name == "castle"
    assert image.tags == ("castle", "gray", "sky & <clouds>")
    assert "sky &amp; &lt;clouds&gt;" in tags._repr_html_()
    tags.alias("slate", "gray")
    tags.add([other.id], "slate", "paper")
    tags.remove(made, "gray")
    assert other.tags == ("paper", "sky & <clouds>")
    assert ("slate", "gray") in {(each.alias, each.tag) for each in tags.aliases()}
    tags.alias("slate", None)
    assert "slate" not in {each.alias for each in tags.aliases()}


def test_bad_names_are_refused_where_they_are_given(canvas: Canvas) -> None:
    with pytest.raises(InvalidRequest) as refused:
        canvas.generate("a", tags=[""])
    assert refused.value.parameter == "tags"
    with pytest.raises(InvalidRequest):
        canvas.tags.rename("a", "\n")
    with pytest.raises(NotFound, match="'nope'"):
        canvas.tags.rename("nope", "a")
    with pytest.raises(NotFound):
        _ = canvas.tags["nope"]
