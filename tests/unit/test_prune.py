import argparse
from datetime import timedelta

import pytest

from mysticanvas.commands import prune
from mysticanvas.contracts.prune import PruneReport


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("8w", timedelta(weeks=8)),
        ("0d", timedelta(0)),
    ],
)
def test_an_age_is_a_number_and_a_unit(text: str, means: timedelta) -> None:
    assert prune.age(text) == means


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5d", "90 d", "9m", "9999999d"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no age"):
        prune.age(text)


def test_the_report_says_whether_anything_was_done() -> None:
    report = PruneReport(
        images=2, bytes=3 << 20, deleted_images=1, deleted_bytes=1 << 19, dry_run=True
    )
    assert prune.text(report) == (
        "2 pictures would go, 3.0 MiB; and the files of 1 that were deleted before, 0.5 MiB.\n"
        "Nothing was done: --yes does it."
    )
    done = prune.text(report.model_copy(update={"dry_run": False}))
    assert done.startswith("2 pictures went")
    assert "--yes" not in done
