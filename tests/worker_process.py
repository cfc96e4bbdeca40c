"""A worker process as the orchestrator starts it, and a client that talks to it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from http_client import client

from mysticanvas import processes
from mysticanvas.contracts.health import Health
from mysticanvas.contracts.worker import MESSAGE, GenerateTask, Message
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.settings import Ipc

TOKEN = "a-token-of-the-test"


class Worker:
    """One process. `http` carries the token; `home` is where its files go; `first_health` is what
    it answered first."""

    def __init__(self, home: Path, engine: str = "image", ipc: Ipc = "tcp") -> None:
        self.home = home
        self.engine = engine
        (home / "images").mkdir(parents=True, exist_ok=True)
        self.log = home / "worker.jsonl"
        self.spawned = processes.spawn(
            "mysticanvas.workers",
            arguments(home, os.getpid(), engine, ipc),
            environment=child_environment(engine_environment(1)),
            log=home / "output.log",
            secret=TOKEN.encode(),
        )
        ready = self.spawned.read_ready()
        assert ready is not None, (home / "output.log").read_text()
        self.pid = self.spawned.process.pid
        assert ready["pid"] == self.pid
        self.url = str(ready["url"])
        self.http = client(self.url, TOKEN, timeout_s=150)
        self.first_health = self.health()

    def health(self) -> Health:
        return Health.model_validate(self.http.get("/internal/health").json())

    def wait_imported(self) -> Health:
        """A call waits for the engine; asking for its health over and over would slow it down."""
        return Health.model_validate(self.http.post("/v1/unload").json())

    @contextlib.contextmanager
    def stream(self, task: GenerateTask, **headers: str) -> Iterator[Iterator[Message]]:
        """The messages of a task as they come; leaving early closes the connection."""
        given = {"Content-Type": "application/json", **headers}
        body = task.model_dump_json()
        with self.http.stream("POST", "/v1/generate", content=body, headers=given) as response:
            assert response.status_code == 200, response.read()
            yield (MESSAGE.validate_json(line) for line in response.iter_lines())

    def generate(self, task: GenerateTask, **headers: str) -> list[Message]:
        with self.stream(task, **headers) as messages:
            return list(messages)

    def files(self) -> set[Path]:
        return {path for path in (self.home / "images").rglob("*") if path.is_file()}

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self) -> None:
        self.http.close()
        self.spawned.process.kill()
        self.spawned.process.wait()
        assert self.spawned.process.stdin is not None
        self.spawned.process.stdin.close()


def arguments(home: Path, parent_pid: int, engine: str = "image", ipc: Ipc = "tcp") -> list[str]:
    given = {
        "--engine": engine,
        "--ipc": ipc,
        "--sockets": home,
        "--images": home / "images",
        "--log": home / "worker.jsonl",
        "--parent-pid": parent_pid,
        "--device": "cpu",
        "--threads": 1,
    }
    return [str(word) for pair in given.items() for word in pair]
