"""What every contract type shares."""

from __future__ import annotations

import pytest

from mysticanvas.contracts.base import Word
from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.jobs import JobStatus


@pytest.mark.parametrize("word", [JobStatus.QUEUED, WorkerState.READY])
def test_a_word_is_its_text_however_it_is_shown(word: Word) -> None:
    text = word.value
    assert (word, str(word), f"{word}", repr(word)) == (text, text, text, repr(text))
