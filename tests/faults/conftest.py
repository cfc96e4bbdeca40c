"""How many faults of a kind are injected: a few in `make test`, many in `make faults`."""

import os

import pytest


@pytest.fixture
def count() -> int:
    return int(os.environ.get("FAULTS", "5"))
