"""What a notebook sees: a real Jupyter kernel, and the messages that it sends."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import kernels
import pytest
from kernels import Message, Notebook

from mysticanvas import Canvas


@pytest.fixture(scope="module")
def notebook(shared_home: Path, tiny_sd: Path) -> Iterator[Notebook]:
    with kernels.drawing(shared_home, tiny_sd) as notebook:
        yield notebook


def test_generate_shows_one_area_that_ends_as_one_line_and_then_the_picture(
    notebook: Notebook,
) -> None:
    *shown, result = notebook.run(
        "canvas.generate('x', preset=model, num_inference_steps=800, seed=7)"
    )
    assert result["type"] == "execute_result"
    assert result["data"]["text/plain"].startswith("<Image 64×64 seed=7 request=")
    assert set(result["data"]) == {"text/plain", "image/png"}
    assert [area["type"] for area in shown[:2]] == ["display_data", "update_display_data"]
    assert len({area["transient"]["display_id"] for area in shown}) == 1
    assert any("<progress" in area["data"]["text/html"] for area in shown[:-1])
    lines = [area["data"]["text/plain"] for area in shown[:-1]]
    assert any(line.startswith("drawing 0/800 ·") for line in lines), lines
    assert any(re.search(r" · about \d+ s left$", line) for line in lines), lines
    assert any("data:image/webp;base64," in area["data"]["text/html"] for area in shown[:-1])
    seconds, seed, identifier = shown[-1]["data"]["text/plain"].split(" · ")
    assert float(seconds.removesuffix(" s")) > 0
    assert seed == "seed 7"
    assert len(identifier) == len("id 1f0a9c2e")
    assert shown[-1]["data"]["text/html"] == f"<div>{seconds} · {seed} · {identifier}</div>"


def test_no_previews_are_made_where_nothing_is_shown(notebook: Notebook) -> None:
    (printed,) = notebook.run("""
        job = canvas.submit("x", preset=model, num_inference_steps=50)
        print(sorted({event.type for event in job.events()}))
    """)
    assert printed["text"] == "['job', 'progress']\n"


def test_several_pictures_are_a_grid_and_a_page_is_thumbnails(notebook: Notebook) -> None:
    *_, images = notebook.run(
        "canvas.generate('x', preset=model, num_inference_steps=2, num_images=3, seed=1)"
    )
    assert images["data"]["text/plain"].startswith("<Images 3 · seeds=1…3 request=")
    (page,) = notebook.run("canvas.images(limit=3)")
    assert page["data"]["text/plain"].startswith("<Page 3 of ")
    assert images["data"].keys() == {"text/plain", "image/png"}
    assert page["data"].keys() == {"text/plain", "text/html"}


def test_stop_cancels_the_job_shows_one_line_and_aborts_run_all(
    notebook: Notebook, shared_home: Path
) -> None:
    cell = notebook.send("canvas.generate('long', preset=model, num_inference_steps=900)")
    after = notebook.send("print('not to be reached')")
    outputs = notebook.outputs(cell)
    next(output for output in outputs if "drawing" in str(output.get("data")))
    notebook.interrupt()
    shown = list(outputs)
    assert shown[-1]["type"] == "error"
    assert shown[-1]["ename"] == "Stopped"
    (line,) = shown[-1]["traceback"]
    assert line.endswith("was cancelled.")
    assert notebook.status(cell) == "error"
    assert notebook.status(after) == "aborted"
    with Canvas(home=shared_home) as canvas:
        stopped = canvas.job(line.split()[2])
        assert stopped.wait(60).status == "cancelled"


@pytest.mark.parametrize("waiting", ["await job", "job.result()", "job.wait(100).result()"])
def test_waiting_for_a_job_shows_how_far_it_is(notebook: Notebook, waiting: str) -> None:
    *shown, result = notebook.run(f"""
        job = canvas.submit("x", preset=model, num_inference_steps=300, seed=7)
        {waiting}
    """)
    assert result["data"]["text/plain"].startswith("<Image 64×64")
    assert len({area["transient"]["display_id"] for area in shown}) == 1
    assert any("drawing " in area["data"]["text/plain"] for area in shown[:-1])
    assert any("data:image/webp;base64," in area["data"]["text/html"] for area in shown[:-1])
    assert shown[-1]["data"] == {"text/html": "<div></div>", "text/plain": ""}
    (again,) = notebook.run(waiting)
    assert again["type"] == "execute_result"


@pytest.mark.parametrize("waiting", ["job.result()", "await job"])
def test_all_waits_of_a_cell_share_one_place_that_is_empty_in_the_end(
    notebook: Notebook, waiting: str
) -> None:
    cell = f"""
        jobs = [canvas.submit("x", preset=model, num_inference_steps=100) for _ in range(3)]
        for job in jobs:
            {waiting}
    """
    places = set()
    for _ in range(2):
        shown = notebook.run(cell)
        types = [output["type"] for output in shown]
        assert types == ["display_data", *["update_display_data"] * (len(shown) - 1)]
        emptied = [output["data"]["text/plain"] == "" for output in shown]
        assert (emptied.count(True) > 1, emptied[-1]) == (True, True)
        (place,) = {output["transient"]["display_id"] for output in shown}
        places.add(place)
    assert len(places) == 2


def test_waiting_in_a_background_thread_or_task_shows_nothing(notebook: Notebook) -> None:
    (printed,) = notebook.run("""
        import asyncio, threading
        job = canvas.submit("x", preset=model, num_inference_steps=100)
        thread = threading.Thread(target=job.wait)
        thread.start()
        await asyncio.gather(job, job)
        thread.join()
        print(job.status)
    """)
    assert printed["text"] == "succeeded\n"


def test_a_wait_that_fails_leaves_its_error_alone(notebook: Notebook) -> None:
    *_, cleared, error = notebook.run("""
        job = canvas.submit("x", preset=model, num_inference_steps=900)
        job.result(timeout=1)
    """)
    assert cleared["data"]["text/plain"] == ""
    assert (error["ename"], "it goes on" in error["evalue"]) == ("TimeoutError", True)
    notebook.run("job.cancel()")


def stopped_while_awaiting(notebook: Notebook, awaited: str) -> Message:
    """Press stop while a cell awaits a long job; how that cell ended, within seconds."""
    cell = notebook.send(f"""
        import asyncio
        long = canvas.submit("long", preset=model, num_inference_steps=900)
        told = asyncio.get_running_loop().call_later(0.5, print, "awaiting")
        {awaited}
    """)
    outputs = notebook.outputs(cell)
    next(output for output in outputs if "awaiting" in output.get("text", ""))
    pressed = time.monotonic()
    notebook.interrupt()
    *_, error = outputs
    assert time.monotonic() - pressed < 3
    (status,) = notebook.run("print(long.status, long.cancel())")
    assert status["text"] == "running True\n"
    assert error["type"] == "error"
    return error


@pytest.mark.parametrize(
    "awaited",
    [
        "await long",
        "async with asyncio.timeout(100): await long",
        "async with asyncio.TaskGroup() as group: group.create_task(asyncio.sleep(99)); await long",
    ],
)
def test_stop_while_a_cell_awaits_says_that_the_job_goes_on(
    notebook: Notebook, awaited: str
) -> None:
    error = stopped_while_awaiting(notebook, awaited)
    said = r"Stopped: job [0-9a-f]{8} is still running; job\.cancel\(\) cancels it\."
    assert re.fullmatch(said, "\n".join(error["traceback"]))
    *_, result = notebook.run("await canvas.submit('x', preset=model, num_inference_steps=2)")
    assert result["data"]["text/plain"].startswith("<Image 64×64")


def test_stop_ends_what_awaits_jobs_in_tasks_of_its_own(notebook: Notebook) -> None:
    error = stopped_while_awaiting(notebook, "await asyncio.gather(long, asyncio.sleep(100))")
    assert error["ename"] == "CancelledError"


def test_what_cancels_an_await_in_a_cell_gets_its_cancellation(notebook: Notebook) -> None:
    *_, printed = notebook.run("""
        import asyncio, contextlib, signal
        long = canvas.submit("long", preset=model, num_inference_steps=900)
        before = signal.getsignal(signal.SIGINT)

        async def ends(awaited):
            try:
                await awaited
            except BaseException as error:
                return type(error).__name__

        async def timed():
            async with asyncio.timeout(0.3):
                await long

        async def grouped():
            async def fail():
                await asyncio.sleep(0.3)
                raise OSError
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await long

        async def waits():
            await long

        asyncio.get_running_loop().call_later(0.3, asyncio.current_task().cancel)
        told = [await ends(long), await ends(timed()), await ends(grouped())]
        told.append(await ends(asyncio.wait_for(long, 0.3)))
        told.append(await ends(asyncio.wait_for(waits(), 0.3)))
        task = asyncio.create_task(waits())
        asyncio.get_running_loop().call_later(0.3, task.cancel)
        told.append(await ends(task))
        told.append(signal.getsignal(signal.SIGINT) is before)
        print(*told, long.status, long.cancel())
    """)
    assert printed["text"] == (
        "CancelledError TimeoutError ExceptionGroup TimeoutError TimeoutError CancelledError "
        "True running True\n"
    )


@pytest.mark.parametrize(
    ("call", "name", "said"),
    [
        ("canvas.generate('x', steps=3)", "InvalidRequest", "num_inference_steps"),
        ("canvas.generate('x', preset='startr')", "InvalidRequest", "no preset 'startr'"),
        ("canvas.sql('select nothing')", "InvalidRequest", "nothing"),
        ("canvas.models.pull('nope')", "InvalidRequest", "nope"),
        ("Canvas(home='/proc/x')", "OrchestratorUnavailable", "/proc/x"),
        ("await canvas.submit('x', preset=model, loras={model: 1})", "ModelFileError", "loras"),
        ("closed.jobs.list()", "OrchestratorUnavailable", "closed"),
    ],
)
def test_an_error_is_shown_at_the_users_own_line(
    notebook: Notebook, call: str, name: str, said: str
) -> None:
    (error,) = notebook.run(call)
    assert (error["ename"], said in error["evalue"]) == (name, True), error
    assert error["traceback"][-1].endswith(error["evalue"])
    shown = kernels.plain(error)
    assert f"----> 1 {call}" in shown
    assert not re.search("mysticanvas/|skipping|During handling|direct cause", shown), shown
    assert len(shown.splitlines()) < 10


def test_what_the_user_s_own_code_did_before_an_error_stays(notebook: Notebook) -> None:
    (error,) = notebook.run("""
        def draw():
            try:
                {}["x"]
            except KeyError:
                canvas.generate("x", preset="startr")
        draw()
    """)
    shown = kernels.plain(error)
    assert "KeyError: 'x'" in shown
    assert shown.index("During handling") < shown.index("InvalidRequest")
    assert not re.search("mysticanvas/", shown), shown


def test_all_of_a_traceback_can_be_had(notebook: Notebook) -> None:
    notebook.run("Canvas(home='/proc/x')")
    short, whole = (notebook.run(f"%tb {mode}")[0] for mode in ("", "Verbose"))
    assert "session/launch.py" not in str(short)
    assert "session/launch.py" in str(whole)
    assert "NotADirectoryError" in str(whole) or "FileNotFoundError" in str(whole)
