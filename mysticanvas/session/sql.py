"""`canvas.sql`: what is asked, and the answer as a data frame."""

from __future__ import annotations

import numbers
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mysticanvas.contracts.refusal import refused, unicode_text
from mysticanvas.contracts.sql import Parameter, Scalar, SqlRequest
from mysticanvas.errors import InvalidRequest
from mysticanvas.session import table
from mysticanvas.session.image import Image

if TYPE_CHECKING:
    import pandas as pd

_ALLOWED = "numbers, text, dates, ids, pictures, or lists of them"


def request(query: object, params: object) -> SqlRequest:
    """The request that the arguments mean.

    Raises:
        InvalidRequest: an argument is of a kind that is not allowed.
    """
    if query is None and params is not None:
        raise refused("params", params, "None without a query")
    if query is not None:
        if not isinstance(query, str):
            raise refused("query", query, "text")
        query = unicode_text("query", query)
    if params is None:
        return SqlRequest(query=query)
    if isinstance(params, Mapping):
        return SqlRequest(query=query, params={_name(key): _value(params[key]) for key in params})
    if isinstance(params, Sequence) and not isinstance(params, str | bytes):
        return SqlRequest(query=query, params=[_value(value) for value in params])
    raise refused("params", params, "a list of values, or a dictionary of them by name")


def answer(asked: SqlRequest, stream: bytes) -> pd.DataFrame:
    """The answer to a request, as `frame` has it; the description of the views is also shown as a
    whole, however many columns they have."""
    found = frame(stream)
    return found if asked.query is not None else _shown_whole(found)


def frame(stream: bytes) -> pd.DataFrame:
    """An Arrow IPC stream as a data frame, with no whole number made inexact.

    Raises:
        InvalidRequest: a column has a value that Python has not, such as an infinite date.
    """
    import pandas as pd

    read = pa.ipc.open_stream(stream).read_all()
    columns = [
        _series(name, _whole(column))
        for name, column in zip(read.column_names, read.columns, strict=True)
    ]
    found = pd.concat(columns, axis=1) if columns else pd.DataFrame()
    found.columns = pd.Index(read.column_names)
    return found


def _shown_whole(found: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    class Whole(pd.DataFrame):
        def __repr__(self) -> str:
            return self.to_string()

        def _repr_html_(self) -> str:
            return table.of(list(self.columns), self.itertuples(index=False))

        def __reduce__(self) -> tuple[Any, ...]:
            # Pickled as the plain one that it shows: nobody finds this class again.
            return pd.DataFrame, (pd.DataFrame(self),)

    return Whole(found)


def _series(name: str, column: pa.ChunkedArray) -> pd.Series[Any]:
    import pandas as pd

    nullable = {
        "int8": pd.Int8Dtype(),
        "int16": pd.Int16Dtype(),
        "int32": pd.Int32Dtype(),
        "int64": pd.Int64Dtype(),
        "uint8": pd.UInt8Dtype(),
        "uint16": pd.UInt16Dtype(),
        "uint32": pd.UInt32Dtype(),
        "uint64": pd.UInt64Dtype(),
    }
    if not column.null_count or not pa.types.is_integer(column.type):
        nullable = {}
    # As floats, as pandas would have it beside a NULL, seeds would lose digits.
    try:
        found: pd.Series[Any] = column.to_pandas(types_mapper=lambda kind: nullable.get(str(kind)))
    except ValueError as error:
        raise InvalidRequest(
            f"The column {name} has a value that Python has not: {error}.",
            parameter="query",
            hint="Cast it to VARCHAR.",
        ) from error
    return found


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A sum of whole numbers, which DuckDB gives with 38 digits, as numbers of 64 bits.

    Where they do not fit they stay as they are, and arrive as Python's.
    """
    if not pa.types.is_decimal(column.type) or column.type.scale:
        return column
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowInvalid:
        return column


def _name(key: object) -> str:
    if not isinstance(key, str):
        raise refused("params", key, "a dictionary of values by name")
    return key.removeprefix("$")


def _value(value: object) -> Parameter:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_scalar(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> Scalar:
    if hasattr(value, "item") and callable(value.item):
        value = value.item()  # a number of NumPy's
    match value:
        case None | bool():
            return value
        case str():
            return unicode_text("params", value)
        case numbers.Integral():
            return int(value)
        case numbers.Real() if float(value) - float(value) == 0:  # neither NaN nor infinite
            return float(value)
        case datetime() if value.tzinfo is None:
            return f"{value.isoformat(' ')}+00"
        case datetime():
            return value.isoformat(" ")
        case date() | uuid.UUID() | PurePath():
            return str(value)
        case Image():
            return value.id
    raise refused("params", value, _ALLOWED)
