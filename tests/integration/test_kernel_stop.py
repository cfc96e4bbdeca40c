"""The stop button while a cell waits for something else than a result, in a real kernel."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import kernels
import pytest
from kernels import Message, Notebook

AT_ONCE_S = 3


@pytest.fixture(scope="module")
def notebook(shared_home: Path, tiny_sd: Path) -> Iterator[Notebook]:
    with kernels.drawing(shared_home, tiny_sd) as notebook:
        yield notebook


@pytest.fixture
def paused(notebook: Notebook) -> Iterator[Notebook]:
    """A queue that begins no job, so that nothing happens to `job`."""
    notebook.run("""
        canvas.jobs.pause()
        job = canvas.submit("x", preset=model, num_inference_steps=2)
    """)
    yield notebook
    notebook.run("""
        job.cancel()
        canvas.jobs.resume()
    """)


def stopped(notebook: Notebook, code: str) -> Message:
    """Press stop soon after a cell says that it waits; how it ended, at once."""
    outputs = notebook.outputs(notebook.send(code))
    next(output for output in outputs if "waits" in output.get("text", ""))
    time.sleep(0.5)
    pressed = time.monotonic()
    notebook.interrupt()
    *_, error = outputs
    assert time.monotonic() - pressed < AT_ONCE_S
    assert error["type"] == "error", error
    return error


def said(error: Message) -> str:
    return kernels.plain(error).replace("\n", "")


def test_stop_ends_awaiting_the_events_of_a_job(paused: Notebook) -> None:
    error = stopped(
        paused,
        """
        import asyncio
        told = asyncio.get_running_loop().call_later(8, job.cancel)
        async for event in job.events():
            print("waits")
        """,
    )
    assert re.fullmatch(r"Stopped: job \w{8} is still queued; job\.cancel\(\) .*", said(error))


def test_stop_ends_a_task_that_awaits_the_events_of_a_job(paused: Notebook) -> None:
    error = stopped(
        paused,
        """
        async def listen():
            async for event in job.events():
                print("waits")
        told = asyncio.get_running_loop().call_later(8, job.cancel)
        await asyncio.create_task(listen())
        """,
    )
    assert error["ename"] == "CancelledError"


def test_stop_as_a_job_ends_ends_the_cell(notebook: Notebook) -> None:
    *_, error = notebook.run("""
        import signal

        job = canvas.submit("x", preset=model, num_inference_steps=2)
        waiting = job._told

        async def told(display):
            record = await waiting(display)
            signal.raise_signal(signal.SIGINT)
            return record

        job._told = told
        await job
        print("went on")
    """)
    assert error["type"] == "error", error
    assert re.fullmatch(r"Stopped: job \w{8} has succeeded\.", said(error))


@pytest.mark.parametrize(
    "waiting",
    [
        "job.wait(timeout=8)",
        "job.result(timeout=8)",
        "canvas.generate('x', preset=model, num_inference_steps=2)",
        "list(job.events())",
    ],
)
def test_stop_ends_what_blocks_in_a_cell_that_awaited(paused: Notebook, waiting: str) -> None:
    error = stopped(
        paused,
        f"""
        import asyncio, signal, threading
        await asyncio.sleep(0)
        before = signal.getsignal(signal.SIGINT)
        timer = threading.Timer(8, canvas.jobs.resume)
        timer.start()
        print("waits", flush=True)
        try:
            {waiting}
        finally:
            timer.cancel()
            assert signal.getsignal(signal.SIGINT) is before
        """,
    )
    assert error["ename"] in ("Stopped", "KeyboardInterrupt")
