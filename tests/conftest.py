"""Fixtures for every test."""

from __future__ import annotations

import functools
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fault_table import FAILED, Faults

# Its imports take seconds of every core, once for each home of a test.
os.environ.setdefault("MYSTICANVAS_SPARE_WORKER", "false")
# Tests that use torch in this process have others beside them: a thread that waits is not to spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Of processes that tests have crash: to write one takes longer than they have to be gone.
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


_TABLE = pytest.StashKey[Faults]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ipc", choices=["tcp", "unix"], help="what carries HTTP between processes")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = Faults()
    # As a user chooses it, so that the kernels which tests start follow.
    if chosen := config.getoption("--ipc"):
        os.environ["MYSTICANVAS_IPC"] = chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Count the faults that a test is marked with."""
    report = yield
    if call.when == "call" and not report.skipped:
        for mark in item.iter_markers("fault"):
            if mark.args:
                fault, outcome = mark.args
                item.config.stash[_TABLE].count(fault, outcome if report.passed else FAILED)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that runs this one, if there is one, what was counted here."""
    output: dict[str, Any] = getattr(session.config, "workeroutput", {})
    output["faults"] = session.config.stash[_TABLE].outcomes


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what another process has counted; one that crashed has told nothing."""
    node.config.stash[_TABLE].add(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    table = config.stash[_TABLE]
    if "FAULTS" in os.environ and table.outcomes:
        terminalreporter.section("faults")
        for line in table.table():
            terminalreporter.line(line)


@pytest.fixture(autouse=True, scope="session")
def _loggers_follow() -> Iterator[None]:
    """Have loggers follow what a test does with the logs. Ours keep the way that their first line
    went, which saves time, and in a process of many tests would be that of any of them."""
    with pytest.MonkeyPatch.context() as patch:
        configure = functools.partial(_configured, structlog.configure)
        patch.setattr(structlog, "configure", configure)
        yield


def _configured(configure: Callable[..., None], **options: Any) -> None:
    configure(**{**options, "cache_logger_on_first_use": False})


@pytest.fixture
def faults(pytestconfig: pytest.Config) -> Faults:
    return pytestconfig.stash[_TABLE]


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


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of a tiny language model; read only, please."""
    import ggufs

    return ggufs.make_llm(tmp_path_factory.mktemp("models") / "tiny.gguf")
