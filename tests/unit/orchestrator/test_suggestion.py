"""What is suggested instead of a request that does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from mysticanvas.orchestrator.arbiter.suggestion import STEP_PX, Size, suggest


def needs(size: Size) -> float:
    """100 MiB, and 1 for each 64 × 64 pixels."""
    return 100 + size.num_images * size.width * size.height / STEP_PX**2


@pytest.mark.parametrize(
    ("asked", "capacity", "suggested"),
    [
        (Size(512, 512, 4), 299, {"num_images": 3}),
        (Size(512, 512, 4), 164, {"num_images": 1}),
        (Size(512, 512, 4), 163, {"width": 448, "height": 448, "num_images": 1}),
        (Size(2048, 1024), 400, {"width": 1600, "height": 768}),
        (Size(512, 512), 100, {}),
        (Size(32, 32), 100, {}),
    ],
)
def test_the_largest_that_fits_is_suggested(
    asked: Size, capacity: float, suggested: dict[str, int]
) -> None:
    assert suggest(asked, needs, capacity) == suggested


SIDES = st.integers(1, 40).map(lambda k: k * STEP_PX)


@given(SIDES, SIDES, st.integers(1, 8), st.integers(0, 4_000))
def test_what_is_suggested_fits_and_is_no_larger(
    width: int, height: int, pictures: int, capacity: int
) -> None:
    asked = Size(width, height, pictures)
    found = suggest(asked, needs, capacity)
    if found:
        size = asked._replace(**found)  # type: ignore[arg-type]
        assert needs(size) <= capacity
        assert all(now <= before for now, before in zip(size, asked, strict=True))
    elif needs(asked) > capacity:
        assert capacity < needs(Size(STEP_PX, STEP_PX))
