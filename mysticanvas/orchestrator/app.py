"""The composition root: the only place where the orchestrator's objects are wired together."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI

from mysticanvas import (
    __version__,
    logs,
    processes,
    settings as settings_module,
    transport,
    web,
)
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.contracts.health import Health, WorkerState, WorkerStatus
from mysticanvas.contracts.presets import Kind
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import announcement, host_jobs, latents, starter_presets
from mysticanvas.orchestrator.activity import Activity
from mysticanvas.orchestrator.announcement import Announcement
from mysticanvas.orchestrator.api import (
    backups,
    events,
    files,
    images,
    jobs,
    models,
    plans,
    plugins,
    presets,
    queue,
    search,
    sql,
    system,
    tags,
    vram,
    workers,
)
from mysticanvas.orchestrator.arbiter.keep_alive import KeepAlive
from mysticanvas.orchestrator.computed_on import ComputedOn
from mysticanvas.orchestrator.device import Device
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.orchestrator.housekeeping import Housekeeping
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.llm_presets import LLMPresets
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.kinds import Kinds
from mysticanvas.orchestrator.queue.lane import Lane
from mysticanvas.orchestrator.queue.runner import Runner
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.queue.upkeep import Upkeep
from mysticanvas.orchestrator.runtime_file import RuntimeFile
from mysticanvas.orchestrator.supervisor import staff
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.orchestrator.weighing import Weighing
from mysticanvas.plugins import loading
from mysticanvas.settings import Settings
from mysticanvas.store import Store, rebuild, starter_aliases
from mysticanvas.store.sql import Sql

_log = logs.get(__name__)


class Orchestrator:
    """Everything that runs in the process, made in order and ended in the reverse order.

    Args:
        at_work: called now and then by what may take long.

    Raises:
        StoreError: the store cannot be opened.
    """

    def __init__(self, settings: Settings, at_work: Callable[[], None] = lambda: None) -> None:
        self.settings = settings
        self.paths = settings.paths
        self.token = secrets.token_urlsafe(32)
        self.began = time.monotonic()
        self.stopping = False
        of_worker = transport.worker_socket(self.paths.run)
        transport.check(settings.ipc, self.paths.socket, of_worker)

        self.plugins = loading.load(settings.plugins)
        # Before the store is opened: there may be no such engine.
        listener = Listener(self._worker_changed, self._alert)
        self.workers = staff.make(settings, self.plugins, listener)
        self.worker = self.workers[0]

        self.store, rebuilt = _open_store(self.paths, settings.search_stemmer, at_work)
        latents.clear(self.paths.run)
        transport.remove_worker_sockets(self.paths.run)
        self.bus = Bus()
        log = self.paths.logs / "thumbnails.jsonl"
        self.pool = Pool(self.paths.root, log, settings.thumbnail_processes)
        self.thumbnails = Thumbnails(self.store, self.paths.root, self.pool)

        inspector = Inspector()
        self.presets = Presets(self.store, inspector, self.plugins, settings.engine)
        self.llm_presets = LLMPresets(self.store, inspector)
        self.device = self._device()
        self.computed_on = ComputedOn(self.store.facts, self.workers, settings)

        self.transitions = Transitions(self.store, self.bus, processes.Identity.of(os.getpid()))
        self.kinds = self._kinds(inspector)
        self.dispatcher = self._dispatcher()
        self.runners = self._runners()
        self.upkeep = Upkeep(self.transitions, self.store, settings.keep_internal_jobs_days)
        self.intake = self._intake()

        self.listener = transport.listen(settings.ipc, self.paths.socket)
        self.activity = Activity(settings.idle_timeout_s, self._working, self._idle)
        self.announcement = Announcement(rebuilt, self._followed, self._alert)
        self.housekeeping = Housekeeping(self.store, self.intake.internal)
        self.runtime_file = self._runtime_file()
        self.app = self._application()
        self.server = web.Server(self.app)

    def start(self) -> Runtime:
        """Start worker, queue and idle watch, and write the runtime file."""
        for worker in self.workers:
            before = self.computed_on.before(worker.kind)
            worker.start(on_demand=worker is not self.worker, before=before)
        self.computed_on.start()
        self.transitions.rescue()
        self.dispatcher.start()
        for runner in self.runners:
            runner.start()
        self.upkeep.start()
        self.device.keep_alive.start()
        self.activity.start()
        self.housekeeping.start()
        self.announcement.start()
        me = processes.Identity.of(os.getpid())
        runtime = Runtime(
            url=self.listener.url,
            token=self.token,
            pid=me.pid,
            started_at=me.started_at,
            boot_id=me.boot_id,
            host=os.uname().nodename,
            version=__version__,
            protocol=PROTOCOL,
            prefix=sys.prefix,
            listener=processes.Holding.of(self.listener.socket.fileno()),
            settings=self.settings.model_dump(mode="json"),
        )
        self.runtime_file.write(runtime)
        self.runtime_file.start()
        return runtime

    def serve(self) -> None:
        """Answer requests until `stop`."""
        self.server.run(sockets=[self.listener.socket])

    def stop(self, drain_s: float = 0.0) -> None:
        """Have `serve` return; from any thread or signal handler.

        Args:
            drain_s: seconds that running jobs have to end before; meanwhile none is begun.
        """
        self.stopping = True
        if drain_s > 0:
            self.transitions.drain(drain_s)
        self.server.stop()
        # Listeners would otherwise hold the server until its own patience ends. On a thread,
        # since a signal handler may have interrupted whoever holds one of the locks.
        threading.Thread(target=self._close_doors, name="close-doors", daemon=True).start()

    def close(self) -> None:
        """End everything; the store is last, with its checkpoint."""
        self.activity.stop()
        self.housekeeping.stop()
        self.announcement.stop()
        self.computed_on.stop()
        self.upkeep.stop()
        lanes: list[Lane[Any]] = [*self.runners, self.dispatcher]
        running: list[Lane[Any] | Worker | KeepAlive] = [
            *lanes,
            *self.workers,
            self.device.keep_alive,
        ]
        self.device.stop_waiting()
        # All at once, with one deadline: a lane may wait for a worker's answer, which at the latest
        # ends with it.
        deadline = staff.deadline(self.settings.stop_timeout_s)
        for each in running:
            each.ask_to_end()
        for lane in lanes:
            lane.stop()
        staff.stop(self.workers, deadline)
        self.device.keep_alive.stop()
        self.pool.close()
        self.runtime_file.stop()
        in_place = self.store.in_place()
        self.store.close()
        # Last: a kernel that finds the file waits for this process, which has the store till here.
        if in_place:
            self.listener.close()
            self.runtime_file.remove()

    def health(self) -> Health:
        queue = self.transitions.status
        statuses = [worker.status for worker in self.workers]
        state = WorkerState.BUSY if queue.running else WorkerState.READY
        return Health(
            process="orchestrator",
            state=WorkerState.STOPPING if self.stopping else state,
            version=__version__,
            pid=os.getpid(),
            uptime_s=time.monotonic() - self.began,
            home=str(self.settings.home),
            memory_mib=processes.memory_mib(),
            models=[status.model for status in statuses if status.model],
            last_error=self.app.state.last_error,
            queue=queue,
            workers=statuses,
            clients=self.bus.clients,
        )

    def _device(self) -> Device:
        return Device(
            self.workers,
            self.settings,
            self.store,
            self.presets,
            self.bus,
            self._alert,
            self._unloaded,
        )

    def _kinds(self, inspector: Inspector) -> Kinds:
        profiles, kind = self.device.profiles, self.device.kind
        weighing = Weighing(self.store, self.presets, profiles, inspector, kind)
        return host_jobs.table(
            self.store,
            self.paths,
            self.thumbnails,
            self.settings.deleted_grace_days,
            weighing.run,
            self._alert,
        )

    def _dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.transitions,
            self.store,
            self.bus,
            self.worker,
            self.device.planner.admitted,
            self.device.feedback,
            self.settings.keep_alive_s,
            self.settings.stop_timeout_s,
            lambda seconds: self.device.arbiter.loaded(self.worker.kind, seconds),
            self.device.pins,
            self.paths.run,
            self._unloaded,
        )

    def _runners(self) -> list[Runner]:
        return [
            Runner(self.transitions, self.bus, kinds, name)
            for name, kinds in host_jobs.lanes(self.kinds).items()
        ]

    def _intake(self) -> Intake:
        return Intake(
            self.store,
            self.transitions,
            self.kinds,
            self.paths.root,
            self.settings,
            self.presets,
            self.device.kind,
        )

    def _runtime_file(self) -> RuntimeFile:
        return RuntimeFile(self.paths.runtime_file, self.store.in_place, self._displaced)

    def _application(self) -> FastAPI:
        app = web.create_app(
            "MystiCanvas orchestrator", self.token, self.listener.url, self.activity
        )
        app.include_router(jobs.routes(self.store, self.intake, self.transitions))
        app.include_router(queue.routes(self.transitions))
        app.include_router(
            presets.routes(self.store, self.presets, self.llm_presets, self.device.pins)
        )
        app.include_router(models.routes(self.store))
        app.include_router(images.routes(self.store, self.bus))
        app.include_router(tags.routes(self.store, self.bus))
        app.include_router(sql.routes(self._sql()))
        app.include_router(search.routes(self.store))
        app.include_router(
            files.routes(
                self.store, self.paths, self.settings, self.thumbnails, self.plugins.records
            )
        )
        app.include_router(backups.routes(self.store))
        app.include_router(events.routes(self.bus))
        app.include_router(plugins.routes(self.plugins.records))
        app.include_router(
            system.routes(
                self.store, self.bus, self._unloading(), self.device.pins, self.health, self.stop
            )
        )
        app.include_router(workers.routes(self.workers, self.device.language))
        app.include_router(vram.routes(self.device.memory, self.device.feedback))
        app.include_router(plans.routes(self.device.planner))
        return app

    def _unloading(self) -> Mapping[Kind, Callable[[str | None], None]]:
        """What gives the memory of a kind of models back; the image worker last, since that may
        take a job's time."""
        language = self.device.language
        if language is None:
            return {"image": self.dispatcher.unload}
        return {"llm": language.unload, "image": self.dispatcher.unload}

    def _sql(self) -> Sql:
        limits = (self.settings.sql_timeout_s, self.settings.sql_max_rows)
        return Sql(self.store.database, self.paths.run, *limits)

    def _worker_changed(self, status: WorkerStatus) -> None:
        self.bus.publish("worker", status.model_dump(mode="json"))

    def _alert(self, alert: Alert) -> None:
        self.bus.publish("alert", alert.model_dump(mode="json"))

    def _unloaded(self, unloaded: Unloaded) -> None:
        self.bus.publish("vram", unloaded.model_dump(mode="json"))

    def _working(self) -> bool:
        queue = self.transitions.status
        # What waits in a paused queue waits as well without us.
        return bool(queue.running or (queue.queued and not queue.paused))

    def _followed(self) -> bool:
        """Whether a kernel waits for a job, and so shows what it is told."""
        return bool(self.bus.clients) and any(run.on_worker for run in self.transitions.runs())

    def _idle(self) -> None:
        _log.info("idle_exit")
        self.stop()

    def _displaced(self) -> None:
        if not self.stopping:
            _log.error("home_gone", home=str(self.paths.root))
            self.stop()

    def _close_doors(self) -> None:
        self.device.stop_waiting()
        self.activity.close()
        self.bus.close()


def _open_store(
    paths: HomePaths, stemmer: str, at_work: Callable[[], None]
) -> tuple[Store, Alert | None]:
    """The store, and what its users are to be told of it."""
    store = Store.open(paths, stemmer=stemmer)
    at_work()
    report = rebuild.if_demanded(store, paths, at_work)
    if report is not None:
        _log.warning("store_rebuilt", added=report.added, skipped=len(report.skipped))
    starter_presets.keep(store, settings_module.data_folder())
    store.tags.load_starter(starter_aliases.read(settings_module.data_folder()))
    return store, None if report is None else announcement.of(report, paths.root, datetime.now(UTC))
