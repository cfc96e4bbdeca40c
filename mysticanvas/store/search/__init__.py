"""Full-text search over what is said of pictures.

`text` makes words of text, `query` reads what people type, `documents` is what a picture says.
`maintenance` builds the index with DuckDB's full-text extension, `stale` marks pictures that it
has not seen as they are, and `tail` holds these and the newest ones. `plan` is a query in the terms
of the index, `ranking` puts a page together, `bm25` is the formula, `position` what a cursor
carries.
"""

from mysticanvas.store.search.search import RankedPage, Search

__all__ = ["RankedPage", "Search"]
