"""SQL lives in `queries/*.sql`, one named block a query: `-- name: by_id`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(noun: str) -> Mapping[str, str]:
    """The queries of `queries/<noun>.sql` by name."""
    text = (resources.files(__package__) / "queries" / f"{noun}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))
