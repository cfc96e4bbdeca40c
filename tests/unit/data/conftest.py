"""The starter model's scripts are not a package: this puts their folder on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

STARTER = Path(__file__).parents[3] / "data" / "starter" / "image"
sys.path.insert(0, str(STARTER))


@pytest.fixture(scope="session")
def starter() -> Path:
    """The folder of the starter image model's scripts and of the model itself."""
    return STARTER
