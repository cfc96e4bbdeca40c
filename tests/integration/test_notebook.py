"""What a notebook does to its kernel, and sees of it: the stop button and the progress line."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from mysticanvas import Canvas

TIMEOUT_S = 120
LONG = 600
"""Steps that keep the tiny model busy for seconds, on a quick machine too."""
FINAL_LINE = r"\d+\.\d s · seed 1 · id [0-9a-f]{8}"

Message = dict[str, Any]


class Notebook:
    """A kernel, used as a notebook uses it."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def run(self, code: str) -> str:
        """Queue a cell; the id of its request."""
        return str(self.client.execute(code))

    def messages(self, cell: str) -> Iterator[Message]:
        """What a cell publishes, until it is idle."""
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT_S)
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["msg_type"] != "status":
                yield message
            elif message["content"]["execution_state"] == "idle":
                return

    def reply(self, cell: str) -> Message:
        while True:
            message = self.client.get_shell_msg(timeout=TIMEOUT_S)
            if message["parent_header"].get("msg_id") == cell:
                return dict(message["content"])

    def output(self, code: str) -> list[Message]:
        """Run a cell that must succeed; all it published."""
        cell = self.run(code)
        published = list(self.messages(cell))
        reply = self.reply(cell)
        assert reply["status"] == "ok", reply
        return published

    def stop(self) -> None:
        """The stop button."""
        self.manager.interrupt_kernel()


@pytest.fixture
def open_notebook(
    shared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Notebook]]:
    """Starts kernels that have a `canvas` on the shared home."""
    for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("MYSTICANVAS_HOME", str(shared_home))
    notebooks: list[Notebook] = []

    def start(**environment: str) -> Notebook:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        manager = KernelManager()
        manager.start_kernel()
        notebooks.append(Notebook(manager, manager.blocking_client()))
        notebooks[-1].client.start_channels()
        notebooks[-1].client.wait_for_ready(timeout=TIMEOUT_S)
        notebooks[-1].output("from mysticanvas import Canvas; canvas = Canvas(project='notebook')")
        return notebooks[-1]

    yield start
    for notebook in notebooks:
        notebook.client.stop_channels()
        notebook.manager.shutdown_kernel(now=True)


def call(method: str, preset: Path, steps: int) -> str:
    return f"canvas.{method}('x', preset={str(preset)!r}, num_inference_steps={steps}, seed=1)"


def texts(messages: list[Message]) -> list[str]:
    """The text of everything that is displayed, in order."""
    return [m["content"]["data"]["text/plain"] for m in messages if "data" in m["content"]]


def types(messages: list[Message]) -> list[str]:
    return [message["msg_type"] for message in messages]


def test_stop_during_generate_cancels_the_job_and_run_all(
    open_notebook: Callable[..., Notebook], canvas: Canvas, tiny_sd: Path
) -> None:
    notebook = open_notebook()
    drawing = notebook.run(call("generate", tiny_sd, LONG))
    following = notebook.run("print('not reached')")
    published = []
    for message in notebook.messages(drawing):
        published.append(message)
        if texts([message]) and "drawing" in texts(published)[-1]:
            break
    notebook.stop()
    published += notebook.messages(drawing)

    stopped = notebook.reply(drawing)
    said = re.fullmatch(r"job ([0-9a-f]{8}) was cancelled\.", stopped["evalue"])
    assert (stopped["status"], stopped["ename"]) == ("error", "Stopped")
    assert stopped["traceback"] == [f"Stopped: {stopped['evalue']}"]
    assert texts(published)[-1] == "", "the progress line must not stay"
    assert notebook.reply(following)["status"] == "aborted"
    assert said is not None
    assert canvas.job(said[1]).wait(TIMEOUT_S).status == "cancelled"
    assert notebook.output(call("generate", tiny_sd, 2))[-1]["msg_type"] == "execute_result"


def test_stop_while_waiting_for_a_result_leaves_the_job_running(
    open_notebook: Callable[..., Notebook], canvas: Canvas, tiny_sd: Path
) -> None:
    notebook = open_notebook()
    cell = notebook.run(f"""
import threading

def tell():
    while not job._tracker.waited_for:  # a stop before that would hit the line, not the wait
        pass
    print("waiting", flush=True)

job = {call("submit", tiny_sd, LONG)}
threading.Thread(target=tell).start()
job.result()
""")
    next(m for m in notebook.messages(cell) if m["content"].get("text", "").startswith("waiting"))
    notebook.stop()

    stopped = notebook.reply(cell)
    said = re.fullmatch(
        r"job ([0-9a-f]{8}) is still (?:queued|running); job\.cancel\(\) cancels it\.",
        stopped["evalue"],
    )
    assert stopped["ename"] == "Stopped"
    assert stopped["traceback"] == [f"Stopped: {stopped['evalue']}"]
    assert said is not None
    job = canvas.job(said[1])
    assert not job.done()
    assert job.wait(TIMEOUT_S).status == "succeeded"


def test_one_progress_line_is_updated_and_ends_as_the_final_line(
    open_notebook: Callable[..., Notebook], tiny_sd: Path
) -> None:
    notebook = open_notebook()
    notebook.output(call("generate", tiny_sd, 2))
    published = notebook.output(call("generate", tiny_sd, LONG))
    line, picture = published[1:-1], published[-1]
    assert types(published)[:2] == ["execute_input", "display_data"]
    assert set(types(published)[2:-1]) == {"update_display_data"}
    assert len({message["content"]["transient"]["display_id"] for message in line}) == 1

    html = [message["content"]["data"]["text/html"] for message in line]
    assert any(re.match(rf"drawing \d+/{LONG} · \d+\.\d s", text) for text in texts(line))
    assert any("<progress" in shown and "data:image/webp;base64," in shown for shown in html)
    assert re.fullmatch(FINAL_LINE, texts(line)[-1])
    assert re.fullmatch(f"<div>{FINAL_LINE}</div>", html[-1])

    assert picture["msg_type"] == "execute_result"
    assert picture["content"]["data"].keys() == {"image/png", "text/plain"}
    assert re.fullmatch(r"<Image 64×64 seed=1 request=[0-9a-f]{8}>", texts([picture])[0])


def test_no_progress_is_shown_if_it_is_not_wanted(
    open_notebook: Callable[..., Notebook], tiny_sd: Path
) -> None:
    notebook = open_notebook(MYSTICANVAS_PROGRESS="off")
    published = notebook.output(call("generate", tiny_sd, 100))
    assert types(published) == ["execute_input", "execute_result"]
