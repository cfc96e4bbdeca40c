import asyncio
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from gate import GatedEngine
from heaps import leave_holes
from mysticanvas_echo import MODEL
from tasks import make_task

from mysticanvas import processes
from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.worker import Finished, ModelRef
from mysticanvas.errors import Conflict, JobCancelled, ModelFileError
from mysticanvas.workers.engine import Control, Engine
from mysticanvas.workers.executor import EngineExecutor

TASK = make_task(Path(MODEL))
REF = ModelRef(path=MODEL, digest="d")


def generate(engine: Engine, control: Control) -> Finished:
    return engine.generate(TASK, lambda _: None, control)


def on_a_loop(
    test: Callable[[EngineExecutor, GatedEngine], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    """Runs a test with an executor whose engine is ready to be made."""

    def run() -> None:
        async def body(folder: str) -> None:
            executor, engine = EngineExecutor(), GatedEngine(Path(folder))
            try:
                await asyncio.wait_for(test(executor, engine), 20)
            finally:
                engine.finish.set()

        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(body(folder))

    run.__name__ = test.__name__
    return run


async def started(engine: GatedEngine) -> None:
    await asyncio.to_thread(engine.started.wait)


@on_a_loop
async def test_states_from_start_to_stop(executor: EngineExecutor, engine: GatedEngine) -> None:
    imported = threading.Event()

    def create() -> Engine:
        imported.wait()
        return engine

    assert executor.state is WorkerState.STARTING
    executor.begin(create)
    assert executor.state is WorkerState.STARTING
    assert executor.models == []
    first = asyncio.create_task(executor.run(lambda engine, _: engine.load(REF)))
    imported.set()
    await first  # a call waits for the import
    assert executor.state is WorkerState.READY
    assert executor.models == ["d"]
    call = await executor.start(generate)
    assert executor.state is WorkerState.BUSY
    await executor.stop(5)
    assert executor.state is WorkerState.STOPPING
    with pytest.raises(JobCancelled):
        await call.wait()
    with pytest.raises(Conflict, match="stopping"):
        await executor.start(generate)


@on_a_loop
async def test_a_stop_does_not_wait_for_the_import(
    executor: EngineExecutor, engine: GatedEngine
) -> None:
    imported = threading.Event()

    def create() -> Engine:
        imported.wait()
        return engine

    executor.begin(create)
    call = await executor.start(lambda engine, _: engine.load(REF))
    try:
        await asyncio.wait_for(executor.stop(3600), 60)
        assert call.control.cancelled
    finally:
        imported.set()
    await call.wait()


@on_a_loop
async def test_one_thread_does_it_all(executor: EngineExecutor, engine: GatedEngine) -> None:
    executor.begin(lambda: engine)
    engine.finish.set()
    for _ in range(3):
        await executor.run(lambda engine, _: engine.load(REF))
        await executor.run(generate)
    assert len(engine.threads) == 1


@on_a_loop
async def test_a_second_call_is_refused(executor: EngineExecutor, engine: GatedEngine) -> None:
    executor.begin(lambda: engine)
    call = await executor.start(generate)
    await started(engine)
    with pytest.raises(Conflict, match="busy"):
        await executor.start(generate)
    engine.finish.set()
    assert isinstance(await call.wait(), Finished)
    assert executor.state is WorkerState.READY


@on_a_loop
async def test_after_a_cancelled_call_the_next_one_waits(
    executor: EngineExecutor, engine: GatedEngine
) -> None:
    executor.begin(lambda: engine)
    first = await executor.start(generate)
    await started(engine)
    first.cancel()
    loaded = await executor.run(lambda engine, _: engine.load(REF))
    assert loaded.digest == "d"
    assert isinstance(first.result.exception(), JobCancelled)


@on_a_loop
async def test_a_caller_may_be_faster_than_the_news_of_its_cancellation(
    executor: EngineExecutor, engine: GatedEngine
) -> None:
    executor.begin(lambda: engine)
    first = await executor.start(generate)
    await started(engine)
    second = asyncio.create_task(executor.run(lambda engine, _: engine.load(REF)))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).digest == "d"


@on_a_loop
async def test_giving_up_the_wait_keeps_the_engine_taken(
    executor: EngineExecutor, engine: GatedEngine
) -> None:
    executor.begin(lambda: engine)
    call = await executor.start(generate)
    waiting = asyncio.create_task(call.wait())
    await started(engine)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert executor.state is WorkerState.BUSY


@on_a_loop
async def test_errors_come_back_and_the_last_is_remembered(
    executor: EngineExecutor, engine: GatedEngine
) -> None:
    executor.begin(lambda: engine)
    bad = ModelRef(path="bad", digest="b")
    with pytest.raises(ModelFileError):
        await executor.run(lambda engine, _: engine.load(bad))
    assert executor.problem is not None
    assert executor.problem.code == "model_file_error"
    engine.finish.set()
    engine.failure = ZeroDivisionError("secret text")
    with pytest.raises(ZeroDivisionError):
        await executor.run(generate)
    assert executor.problem.code == "internal_error"
    assert "secret" not in executor.problem.detail
    assert executor.state is WorkerState.READY


@on_a_loop
async def test_a_cancellation_is_no_error(executor: EngineExecutor, engine: GatedEngine) -> None:
    executor.begin(lambda: engine)
    call = await executor.start(generate)
    call.cancel()
    with pytest.raises(JobCancelled):
        await call.wait()
    assert executor.problem is None


@on_a_loop
async def test_an_engine_that_cannot_be_made(executor: EngineExecutor, engine: GatedEngine) -> None:
    def create() -> Engine:
        raise ImportError("no torch here")

    executor.begin(create)
    with pytest.raises(ImportError):
        await executor.run(generate)
    assert executor.state is WorkerState.FAILED
    assert executor.problem is not None
    assert "ImportError" in executor.problem.detail
    assert executor.models == []


@on_a_loop
async def test_what_the_heap_of_c_keeps_is_given_back_before_the_result_is_seen(
    executor: EngineExecutor, engine: GatedEngine
) -> None:
    executor.begin(lambda: engine)
    before = processes.memory_mib()

    def work(_engine: Engine, _control: Control) -> float:
        leave_holes(200)
        return processes.memory_mib()

    after_work = await executor.run(work)
    assert after_work > before + 150
    assert processes.memory_mib() < before + 50


@on_a_loop
async def test_a_job_after_which_the_process_is_no_larger_does_not_touch_the_heap(
    executor: EngineExecutor, engine: GatedEngine
) -> None:
    resident = [0.0]
    given: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "memory_mib", lambda: resident[-1])
        patch.setattr(processes, "give_back_heap", lambda: given.append(resident[-1]))
        executor.begin(lambda: engine)
        for mib in (500.0, 520.0, 400.0, 431.0, 433.0):
            resident.append(mib)
            await (await executor.start(lambda _engine, _control: None)).wait()
        assert given == [500.0, 433.0]
        await executor.run(lambda _engine, _control: None)
        assert given == [500.0, 433.0, 433.0]
