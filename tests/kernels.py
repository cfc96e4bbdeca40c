"""Real Jupyter kernels, for tests of what a notebook sees."""

import contextlib
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

PATIENCE_S = 180
Message = dict[str, Any]


class Notebook:
    """Runs cells in a kernel and gives what they show."""

    def __init__(self, client: BlockingKernelClient, interrupt: Callable[[], None]) -> None:
        self._client = client
        self.interrupt = interrupt

    def send(self, code: str) -> str:
        """Queue a cell; its id."""
        identifier: str = self._client.execute(textwrap.dedent(code))
        return identifier

    def outputs(self, cell: str) -> Iterator[Message]:
        """What a cell shows, as it comes, until it is done."""
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            if message["msg_type"] == "status":
                if content["execution_state"] == "idle":
                    return
            elif message["msg_type"] != "execute_input":
                yield {"type": message["msg_type"], **content}

    def run(self, code: str) -> list[Message]:
        return list(self.outputs(self.send(code)))

    def status(self, cell: str) -> str:
        """How a cell ended: `ok`, `error` or `aborted`."""
        while True:
            reply = self._client.get_shell_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == cell:
                return str(reply["content"]["status"])


@contextlib.contextmanager
def drawing(home: Path, model: Path) -> Iterator[Notebook]:
    """A kernel with a `canvas` on `home`, whose worker holds `model`."""
    manager, client = start_new_kernel()
    try:
        notebook = Notebook(client, manager.interrupt_kernel)
        shown = notebook.run(f"""
            from mysticanvas import Canvas
            canvas = Canvas(home={str(home)!r}, project="notebook")
            model = {str(model)!r}
            closed = Canvas(home=canvas.home)
            closed.close()
            warm = canvas.submit("warm", preset=model, num_inference_steps=2).wait()
        """)
        assert all("data" in output for output in shown), shown
        yield notebook
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def plain(error: Message) -> str:
    """The traceback without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
