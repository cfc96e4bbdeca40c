"""`canvas.sql` through all processes."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mysticanvas import Canvas, InvalidRequest


def test_a_picture_is_found_in_sql(canvas: Canvas, tiny_sd: Path) -> None:
    image = canvas.generate("замок, '; --", preset=str(tiny_sd), num_inference_steps=2, seed=7)
    frame = canvas.sql("FROM images WHERE id = $1", [image])
    assert isinstance(frame, pd.DataFrame)
    [row] = frame.to_dict("records")
    assert (row["id"], row["prompt"], row["seed"]) == (image.id, image.prompt, 7)
    assert (row["width"], row["job"]) == (image.width, image.job_id)
    assert canvas.home / row["path"] == image.path
    assert row["created_at"] == image.created_at
    assert row["created_at"].tzinfo is not None
    within = canvas.sql(
        "SELECT count(*) AS n FROM images WHERE project = $project AND created_at >= $since",
        {"project": canvas.project, "since": image.created_at},
    )
    assert within["n"].tolist() == [1]


def test_without_a_query_it_describes_the_views(canvas: Canvas) -> None:
    frame = canvas.sql()
    assert list(frame.columns) == ["view", "column", "type", "description"]
    for view in frame["view"].unique():
        columns = list(canvas.sql(f"FROM {view} LIMIT 0").columns)
        assert columns == frame[frame["view"] == view]["column"].tolist()


def test_a_long_result_arrives_whole(canvas: Canvas) -> None:
    frame = canvas.sql("SELECT range AS n, 'x' || range AS text FROM range(300000)")
    assert frame["n"].sum() == sum(range(300_000))
    assert frame["text"].iloc[-1] == "x299999"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT nope FROM images", "nope"),
        ("DELETE FROM images", "no SELECT, but DELETE"),
        ("FROM mysticanvas.main.images", "no view"),
        ("SELECT 'x'::INTEGER", "LINE 1"),
        ("FROM range(2000000)", "1,000,000 rows"),
    ],
)
def test_what_is_wrong_is_said(canvas: Canvas, query: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        canvas.sql(query)
    assert refused.value.request_id


def test_no_query_reaches_the_database_file(canvas: Canvas) -> None:
    """Reading it would drop the lock that keeps other processes out."""
    database = canvas.home / "mysticanvas.duckdb"
    for source in (f"read_blob('{database}')", f"'{database}'", f"read_text('{database}')"):
        with pytest.raises(InvalidRequest):
            canvas.sql(f"SELECT * FROM {source}")
    code = "import duckdb, sys; duckdb.connect(sys.argv[1], read_only=True)"
    tried = subprocess.run(
        [sys.executable, "-c", code, database], capture_output=True, text=True, check=False
    )
    assert "Could not set lock" in tried.stderr
