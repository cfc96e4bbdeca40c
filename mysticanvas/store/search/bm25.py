"""BM25 as DuckDB's extension has it (its macro `match_bm25`), on weighted fields.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), sections
3.4 and 3.5: frequencies and lengths are weighted before they are saturated.

    idf(term)   = log10((images - df + 1/2) / (df + 1/2) + 1)
    score       = sum over terms of idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / average))

Each summand is rounded to a whole number of 1 / UNIT before it is added. The sum of whole numbers
does not depend on the order of rows, as one of floating point does, so a picture has the very same
score on every page of a search.
"""

from __future__ import annotations

K1 = 1.2
B = 0.75
UNIT = 2**32
PREFIX_IDF = 1.0
"""The idf of every word that a prefix stands for: that of a word which a tenth of all have."""


def score(idf: float, tf: float, length: float, average: float) -> int:
    """What a term adds to the score of a picture, in 1 / UNIT; the same arithmetic as in SQL."""
    return round(idf * (tf * (K1 + 1) / (tf + K1 * (1 - B + B * (length / average)))) * UNIT)
