import numpy as np
import pytest

from benchmarks.vocabulary import Vocabulary, invented


def test_invented_words_are_all_different_and_the_same_every_time() -> None:
    words = invented(1_000, syllables=3, seed=1)
    assert len(set(words)) == 1_000
    assert words == invented(1_000, syllables=3, seed=1)
    assert words != invented(1_000, syllables=3, seed=2)


def test_words_of_different_lengths_share_none() -> None:
    assert not set(invented(600, syllables=2, seed=1)) & set(invented(600, syllables=3, seed=1))


def test_names_are_drawn_in_proportion_to_their_rank() -> None:
    vocabulary = Vocabulary(["a", "b", "c"], exponent=1.0, draws=[1])
    # 1, 1/2 and 1/3 of 11/6.
    assert vocabulary.shares == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    edges = np.array([0.0, 0.545, 0.546, 0.818, 0.819, 1.0])
    assert vocabulary.draw(edges).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_share_is_that_of_documents_with_any_number_of_draws() -> None:
    vocabulary = Vocabulary(["a", "b"], exponent=0.0, draws=[0, 2])
    assert vocabulary.shares == pytest.approx([0.375, 0.375])


def test_names_are_found_by_their_share_nearest_first() -> None:
    vocabulary = Vocabulary(["a", "b", "c", "d"], exponent=1.0, draws=[1])
    assert vocabulary.near(0.16, 2) == ["c", "d"]
