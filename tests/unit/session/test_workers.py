"""The workers as a notebook shows them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mysticanvas import LLMPreset, errors
from mysticanvas.contracts.health import Reserve, WorkerState, WorkerStatus
from mysticanvas.session.collections.workers import Workers

WELL = WorkerStatus(
    kind="image", pid=4711, state=WorkerState.BUSY, restarts=1, preset="starter", memory=512.4,
    last_error="was killed from outside (SIGKILL)",
)  # fmt: skip
BROKEN = WorkerStatus(
    kind="llm", pid=None, state=WorkerState.FAILED, restarts=4, retry_s=12.0,
    last_error="ended by itself with exit code 1 <b>", reserve=Reserve(pid=4712, memory=300.4),
)  # fmt: skip


class Connection:
    def __init__(self) -> None:
        self.reset: list[str | None] = []
        self.started: list[tuple[str, str | None]] = []

    def call(self, ask: Any) -> Any:
        return ask(
            SimpleNamespace(
                workers=lambda: [WELL, BROKEN],
                reset_workers=self.reset.append,
                start_worker=lambda *asked: self.started.append(asked),
            )
        )


def test_it_is_a_collection() -> None:
    workers = Workers(Connection())  # type: ignore[arg-type]
    assert len(workers) == 2
    assert list(workers) == [WELL, BROKEN] == workers.list()
    assert workers[0] == workers["image"] == WELL
    with pytest.raises(errors.NotFound, match="image, llm"):
        workers["video"]


def test_it_is_readable_as_text_and_as_html() -> None:
    workers = Workers(Connection())  # type: ignore[arg-type]
    first, second = repr(workers).splitlines()
    assert first == (
        "image · busy · pid 4711 · 1 restart · starter · 512 MiB · "
        "was killed from outside (SIGKILL)"
    )
    assert "canvas.workers.reset() starts it again" in second
    assert "300 MiB in reserve (pid 4712)" in second
    html = workers._repr_html_()
    assert ">starter</td>" in html
    assert "&lt;b&gt;" in html
    assert ">4711</td>" in html
    assert "restart<" not in html


def test_start_asks_for_one_kind_and_perhaps_a_preset() -> None:
    connection = Connection()
    Workers(connection).start("llm")  # type: ignore[arg-type]
    Workers(connection).start("llm", preset="chat")  # type: ignore[arg-type]
    preset = LLMPreset(name="other", model="/m.gguf")
    Workers(connection).start("llm", preset=preset)  # type: ignore[arg-type]
    assert connection.started == [("llm", None), ("llm", "chat"), ("llm", "other")]


def test_what_is_no_kind_and_no_preset_is_refused() -> None:
    connection = Connection()
    workers = Workers(connection)  # type: ignore[arg-type]
    bad: Any = Path("/m.gguf")
    for parameter, act in (
        ("kind", lambda: workers.reset(bad)),
        ("kind", lambda: workers.start(bad)),
        ("preset", lambda: workers.start("llm", bad)),
        ("preset", lambda: workers.start("llm", "")),
    ):
        with pytest.raises(errors.InvalidRequest, match=f"^{parameter}=") as refused:
            act()
        assert refused.value.parameter == parameter
    assert (connection.started, connection.reset) == ([], [])


def test_reset_asks_for_one_kind_or_all() -> None:
    connection = Connection()
    Workers(connection).reset("llm")  # type: ignore[arg-type]
    Workers(connection).reset()  # type: ignore[arg-type]
    assert connection.reset == ["llm", None]
