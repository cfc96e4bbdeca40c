"""What DuckDB's driver looks at in every parameter of a statement, and how to be spared that."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType

import duckdb

_PANDAS = "pandas"
_COMPARED = ("NaT", "NA")
"""Values of pandas that the driver stores as NULL."""


def spare_pandas(connection: duckdb.DuckDBPyConnection) -> None:
    """Have the driver look for pandas no more, where there is none.

    It compares each value of each parameter, those in lists too, with two of pandas'. Once it has
    found these it keeps them; else it tries the import again, twice a value, which for long lists
    costs more than the statement. So it finds a stand-in, for a moment, whose values nobody has.

    Nothing is done where pandas can be imported.
    """
    if sys.modules.get(_PANDAS) is not None or not _is_absent():
        return
    before = _PANDAS in sys.modules
    stand_in = ModuleType(_PANDAS)
    for name in _COMPARED:
        setattr(stand_in, name, object())
    sys.modules[_PANDAS] = stand_in
    try:
        connection.execute("SELECT ?", [True]).fetchall()
    finally:
        if before:
            sys.modules[_PANDAS] = None  # type: ignore[assignment]  # as it was
        else:
            del sys.modules[_PANDAS]


def _is_absent() -> bool:
    """Whether an import would fail: it is forbidden, or not installed."""
    return _PANDAS in sys.modules or find_spec(_PANDAS) is None
