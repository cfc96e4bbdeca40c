"""What is said of a search that finds nothing."""

from __future__ import annotations

import pytest

from mysticanvas.contracts.search import remark


@pytest.mark.parametrize("text", ["foo:bar", "red -SIZE:128", "tag:ink x:y"])
def test_a_name_that_is_no_condition_is_told_those_that_are(text: str) -> None:
    assert remark(text).endswith("conditions begin with tag:, preset:, style:, project:, seed:, "
                                 "starred:, rating:")  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "red", "tag:ink -TAG:noir seed:7", '"foo:bar" red', '"foo:bar', "foo: bar", "16:9"]
)
def test_other_searches_get_no_remark(text: str) -> None:
    assert remark(text) == ""
