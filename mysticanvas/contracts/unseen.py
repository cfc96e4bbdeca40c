"""Characters that nobody sees, Unicode's Default_Ignorable_Code_Point, as parts of a pattern.

The zero-width space counts among them in the name of a tag, and parts words in a text: scripts
without spaces are written with it. The rare ones count among them in a text alone. Names of tags
are stored as they were normalized, so one that holds such a character would no longer be found.
"""

from __future__ import annotations

UNSEEN = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
"""Soft hyphens, joiners, marks of direction, variation selectors, fillers."""
ZERO_WIDTH_SPACE = r"\u200b"
RARE = r"\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
"""Of shorthand, musical notation and language tags, and what is not given out yet."""
