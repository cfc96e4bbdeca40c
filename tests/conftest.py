"""Fixtures for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Its imports take seconds of every core, once for each home of a test.
os.environ.setdefault("MYSTICANVAS_SPARE_WORKER", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ipc", choices=["tcp", "unix"], help="what carries HTTP between processes")


def pytest_configure(config: pytest.Config) -> None:
    # As a user chooses it, so that the kernels which tests start follow.
    if chosen := config.getoption("--ipc"):
        os.environ["MYSTICANVAS_IPC"] = chosen


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion folder; read only, please."""
    import models  # imports torch, for which only tests that need a model should pay

    return models.make_sd(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion XL folder; read only, please."""
    import models

    return models.make_sdxl(tmp_path_factory.mktemp("models") / "sdxl")
