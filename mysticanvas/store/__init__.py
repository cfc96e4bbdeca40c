"""The store: everything that lasts, in one DuckDB file. Nothing else opens that file."""

from mysticanvas.store.image_rows import NewImage
from mysticanvas.store.job_rows import StoredJob
from mysticanvas.store.store import Store

__all__ = ["NewImage", "Store", "StoredJob"]
