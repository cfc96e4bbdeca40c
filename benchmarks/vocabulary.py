"""Names that are drawn as words are in a language: few of them often, most of them hardly ever."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# No suffix that a stemmer takes off can be made of these, and no stop word, so that every word is a
# word of its own in any index.
_CONSONANTS, _VOWELS = "bdfgklmnprtvz", "ao"
_SYLLABLES = [first + second for first in _CONSONANTS for second in _VOWELS]


class Vocabulary:
    """Names in the order of their frequency, the n-th drawn in proportion to 1 / n ** exponent.

    Args:
        names: the most frequent first.
        draws: how many a document has; each of these numbers is equally likely.
    """

    def __init__(self, names: Sequence[str], exponent: float, draws: Sequence[int]) -> None:
        self.names = names
        weights = np.arange(1, len(names) + 1, dtype=np.float64) ** -exponent
        chances = weights / weights.sum()
        self._cumulative = np.cumsum(chances)
        missed = np.mean([(1 - chances) ** count for count in draws], axis=0)
        self.shares: npt.NDArray[np.float64] = 1 - missed
        """Of each name, the share of documents that are expected to have it."""

    def draw(self, random_numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Ranks from 0, for numbers that are evenly distributed from 0 to 1."""
        ranks = np.searchsorted(self._cumulative, random_numbers, side="right")
        return np.minimum(ranks, len(self.names) - 1)

    def near(self, share: float, count: int) -> list[str]:
        """The names that are expected in about that share of the documents, nearest first."""
        nearest = np.argsort(np.abs(self.shares - share), kind="stable")[:count]
        return [self.names[rank] for rank in nearest]


def invented(count: int, syllables: int, seed: int) -> list[str]:
    """Different words that no language has and every stemmer leaves as they are."""
    spelled = ["".join(spelling) for spelling in itertools.product(_SYLLABLES, repeat=syllables)]
    return random.Random(seed).sample(spelled, count)
