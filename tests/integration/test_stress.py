from pathlib import Path

import pytest

from benchmarks import stress


@pytest.mark.timeout(600)
def test_six_kernels_lose_nothing(home: Path, tiny_sd: Path) -> None:
    outcome = stress.run(home, tiny_sd, kernels=6, submitters=3, seconds=10)
    assert outcome.well, outcome
