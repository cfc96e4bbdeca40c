"""`canvas.sql` on the kernel's side: which values may be asked with, and what a table becomes."""

from __future__ import annotations

import datetime as dt
import io
import pickle
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mysticanvas import InvalidRequest
from mysticanvas.session import sql

ID = uuid.UUID("0190aaaa-0000-7000-8000-000000000000")


def streamed(**columns: pa.Array) -> bytes:
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def framed(**columns: pa.Array) -> pd.DataFrame:
    return sql.frame(streamed(**columns))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**64, 2**64),
        (0.5, 0.5),
        ("замок", "замок"),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (dt.datetime(2026, 5, 4, 3, 2, 1), "2026-05-04 03:02:01+00"),
        (
            dt.datetime(2026, 5, 4, 3, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "2026-05-04 03:00:00+02:00",
        ),
        (pd.Timestamp("2026-05-04 03:02:01", tz="UTC"), "2026-05-04 03:02:01+00:00"),
        (dt.date(2026, 5, 4), "2026-05-04"),
        (ID, str(ID)),
        (Path("images/x.png"), "images/x.png"),
        (["a", 1], ["a", 1]),
        (("a", None), ["a", None]),
    ],
)
def test_a_value_becomes_what_json_can_hold(value: Any, sent: Any) -> None:
    by_position, by_name = sql.request("x", [value]), sql.request("x", {"$name": value})
    assert by_position.params == [sent]
    assert by_name.params == {"name": sent}


def test_a_picture_stands_for_its_id(make_image: Any) -> None:
    image = make_image()
    assert sql.request("x", [[image]]).params == [[image.id]]


@pytest.mark.parametrize(
    ("query", "params", "parameter"),
    [
        (1, None, "query"),
        ("\ud800", None, "query"),
        (None, [1], "params"),
        ("x", 1, "params"),
        ("x", "text", "params"),
        ("x", {1: 2}, "params"),
        ("x", [b"bytes"], "params"),
        ("x", [float("nan")], "params"),
        ("x", [[["nested"]]], "params"),
        ("x", [object()], "params"),
        ("x", ["\ud800"], "params"),
    ],
)
def test_what_cannot_be_sent_is_refused(query: Any, params: Any, parameter: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        sql.request(query, params)
    assert refused.value.parameter == parameter


def test_whole_numbers_stay_exact_beside_null() -> None:
    seed = 2**64 - 1
    frame = framed(seed=pa.array([seed, None], pa.uint64()), some=pa.array([1, 2], pa.int32()))
    assert str(frame["seed"].dtype) == "UInt64"
    assert frame["seed"][0] == seed
    assert frame["seed"].isna().tolist() == [False, True]
    assert str(frame["some"].dtype) == "int32"


def test_a_sum_is_a_number() -> None:
    wide = pa.decimal128(38, 0)
    frame = framed(
        small=pa.array([Decimal(45), None], wide),
        large=pa.array([Decimal(2**100), None], wide),
        price=pa.array([Decimal("1.25"), None], pa.decimal128(5, 2)),
    )
    assert frame["small"][0] == 45
    assert str(frame["small"].dtype) == "Int64"
    assert frame["large"][0] == 2**100
    assert frame["price"][0] == Decimal("1.25")


def test_text_times_and_lists() -> None:
    moment = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)
    frame = framed(
        text=pa.array(["замок", None]),
        time=pa.array([moment, None], pa.timestamp("us", "UTC")),
        tags=pa.array([["a", "b"], []]),
    )
    assert frame["text"][0] == "замок"
    assert frame["time"][0] == pd.Timestamp(moment)
    assert list(frame["tags"][0]) == ["a", "b"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**31 - 1], pa.date32()),
        pa.array([[2**31 - 1]], pa.list_(pa.date32())),
        pa.array([24 * 3600 * 10**6], pa.time64("us")),
    ],
    ids=["date", "dates", "midnight"],
)
def test_a_value_that_python_has_not_is_named_with_its_column(column: pa.Array) -> None:
    with pytest.raises(InvalidRequest, match="column day has.*Cast it to VARCHAR") as refused:
        framed(day=column)
    assert refused.value.parameter == "query"


def test_an_empty_result_has_its_columns() -> None:
    frame = framed(a=pa.array([], pa.int64()), b=pa.array([], pa.string()))
    assert list(frame.columns) == ["a", "b"]
    assert len(frame) == 0


def test_columns_of_one_name_are_both_there() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    assert sql.frame(sink.getvalue()).values.tolist() == [[1, 2]]


def test_the_description_of_the_views_is_shown_whole() -> None:
    sentences = [f"What column {k} means, in so many words that pandas cuts." for k in range(99)]
    stream = streamed(view=pa.array(["images"] * 99), description=pa.array(sentences))
    for query, is_whole in ((None, True), ("FROM images", False)):
        found = sql.answer(sql.request(query, None), stream)
        for shown in (repr(found), str(getattr(found, "_repr_html_")())):  # noqa: B009
            assert all(sentence in shown for sentence in sentences) is is_whole
        assert type(found[found["view"] == "images"]) is pd.DataFrame
        sent = pickle.loads(pickle.dumps(found))
        assert (type(sent), sent.equals(found)) == (pd.DataFrame, True)
