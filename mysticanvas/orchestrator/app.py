"""The composition root: the only place where the orchestrator's objects are wired together."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from pathlib import Path

from fastapi import FastAPI

from mysticanvas import __version__, logs, processes, settings as settings_module, web
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.contracts.exports import ExportParams
from mysticanvas.contracts.health import Health, WorkerState, WorkerStatus
from mysticanvas.contracts.presets import STARTER, ImagePreset
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.orchestrator import chores, export, models
from mysticanvas.orchestrator.activity import Activity
from mysticanvas.orchestrator.api import (
    backups,
    events,
    files,
    images,
    jobs,
    queue,
    search,
    sql,
    system,
    tags,
)
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.files import upkeep
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.orchestrator.housekeeping import Housekeeping
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.kinds import HostJob, Kinds
from mysticanvas.orchestrator.queue.runner import Runner
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.queue.upkeep import Upkeep
from mysticanvas.orchestrator.runtime_file import remove_runtime, write_runtime
from mysticanvas.orchestrator.supervisor.worker import Launch, Worker
from mysticanvas.settings import HomePaths, Settings
from mysticanvas.store import Store, rebuild, starter_aliases
from mysticanvas.store.sql import Sql

_log = logs.get(__name__)
_START_LOCK_S = 2.0


class Orchestrator:
    """Everything that runs in the process, made in order and ended in the reverse order.

    Raises:
        StoreError: the store cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.paths = HomePaths.of(settings.home)
        self.token = secrets.token_urlsafe(32)
        self.began = time.monotonic()
        self.store = _open_store(self.paths, settings.search_stemmer)
        self.bus = Bus()
        self.worker = Worker(
            _image_worker(settings, self.paths), self._worker_changed, settings.stop_timeout_s
        )
        self.pool = Pool(
            self.paths.root, self.paths.logs / "thumbnails.jsonl", settings.thumbnail_processes
        )
        self.thumbnails = Thumbnails(self.store, self.paths.root, self.pool)
        me = processes.Identity.of(os.getpid())
        self.transitions = Transitions(self.store, self.bus, me)
        self.kinds = self._kinds()
        self.dispatcher = Dispatcher(
            self.transitions, self.store, self.bus, self.worker, settings.keep_alive_s
        )
        self.runner = Runner(self.transitions, self.bus, self.kinds)
        self.upkeep = Upkeep(self.transitions, self.store, settings.keep_internal_jobs_days)
        self.activity = Activity(settings.idle_timeout_s, self._in_use, self._idle)
        self.intake = Intake(self.store, self.transitions, self.kinds, self.paths.root, settings)
        self.housekeeping = Housekeeping(self.store, self.intake.internal)
        self.start_lock = processes.FileLock(self.paths.start_lock)
        self.app = self._application()
        self.server = web.Server(self.app)
        self.listener = web.listen()

    def start(self) -> Runtime:
        """Start worker, queue and idle watch, and write the runtime file."""
        self.worker.start()
        self.transitions.rescue()
        self.dispatcher.start()
        self.runner.start()
        self.upkeep.start()
        self.activity.start()
        self.housekeeping.start()
        me = processes.Identity.of(os.getpid())
        host, port = self.listener.getsockname()
        runtime = Runtime(
            url=f"http://{host}:{port}",
            token=self.token,
            pid=me.pid,
            started_at=me.started_at,
            boot_id=me.boot_id,
            host=os.uname().nodename,
            version=__version__,
            protocol=PROTOCOL,
            prefix=sys.prefix,
        )
        write_runtime(self.paths.runtime_file, runtime)
        return runtime

    def serve(self) -> None:
        """Answer requests until `stop`."""
        self.server.run(sockets=[self.listener])

    def stop(self) -> None:
        """Have `serve` return; from any thread or signal handler."""
        self.server.stop()
        # Listeners would otherwise hold the server until its own patience ends. On a thread,
        # since a signal handler may have interrupted whoever holds the bus's lock.
        threading.Thread(target=self.bus.close, name="close-bus", daemon=True).start()

    def close(self) -> None:
        """End everything, workers first of all; the store is last, with its checkpoint."""
        self.activity.stop()
        self.housekeeping.stop()
        # A kernel that attaches from here on waits until this process has let go of the store.
        self._keep_out(_START_LOCK_S)
        remove_runtime(self.paths.runtime_file, os.getpid())
        self.upkeep.stop()
        self.runner.stop()
        self.dispatcher.stop()
        self.worker.stop()
        self.pool.close()
        self.store.close()
        self.start_lock.release()

    def health(self) -> Health:
        queue = self.transitions.status
        status = self.worker.status
        return Health(
            process="orchestrator",
            state=WorkerState.BUSY if queue.running else WorkerState.READY,
            version=__version__,
            pid=os.getpid(),
            uptime_s=time.monotonic() - self.began,
            memory_mib=processes.memory_mib(),
            models=[status.model] if status.model else [],
            queue=queue,
            workers=[status],
            clients=self.bus.clients,
        )

    def _kinds(self) -> Kinds:
        """What this process carries out itself."""
        return {
            "export": HostJob(
                lambda context: export.run(
                    self.store, self.paths, ExportParams.model_validate(context.params), context
                ).model_dump(mode="json"),
                ExportParams,
                lambda params: export.check(Path(params.path)),
            ),
            "thumbnails": HostJob(
                lambda context: upkeep.run(
                    self.store,
                    self.paths,
                    self.thumbnails,
                    self.settings.deleted_grace_days,
                    context,
                )
            ),
            "index": HostJob(lambda context: chores.index(self.store, context)),
            "backup": HostJob(lambda context: chores.backup(self.store, context)),
        }

    def _application(self) -> FastAPI:
        app = web.create_app("MystiCanvas orchestrator", self.token, self.activity.touch)
        app.include_router(jobs.routes(self.store, self.intake, self.transitions))
        app.include_router(queue.routes(self.transitions))
        app.include_router(images.routes(self.store, self.bus))
        app.include_router(tags.routes(self.store, self.bus))
        app.include_router(sql.routes(self._sql()))
        app.include_router(search.routes(self.store))
        app.include_router(files.routes(self.store, self.paths, self.settings, self.thumbnails))
        app.include_router(backups.routes(self.store))
        app.include_router(events.routes(self.bus))
        app.include_router(
            system.routes(
                self.store, self.bus, self.worker, self.dispatcher, self.health, self.stop
            )
        )
        return app

    def _sql(self) -> Sql:
        limits = (self.settings.sql_timeout_s, self.settings.sql_max_rows)
        return Sql(self.store.database, self.paths.run, *limits)

    def _worker_changed(self, status: WorkerStatus) -> None:
        self.bus.publish("worker", status.model_dump(mode="json"))

    def _in_use(self) -> bool:
        queue = self.transitions.status
        # What waits in a paused queue waits as well without us.
        goes_on = queue.running or (queue.queued and not queue.paused)
        return bool(self.bus.clients or goes_on)

    def _keep_out(self, timeout_s: float = 0.0) -> bool:
        """Have no kernel attach from here on; whether that is so."""
        try:
            return self.start_lock.acquire(timeout_s)
        except FileNotFoundError:
            # The home was deleted under us: nobody can find the way here.
            return True

    def _idle(self) -> bool:
        """Stop, unless a kernel is about to attach: it holds the start lock while it does."""
        if not self._keep_out():
            return False
        # With the lock in hand nobody attaches any more, so what is seen now stays true.
        if not self.activity.idle:
            self.start_lock.release()
            return False
        _log.info("idle_exit")
        remove_runtime(self.paths.runtime_file, os.getpid())
        self.stop()
        return True


def _open_store(paths: HomePaths, stemmer: str) -> Store:
    store = Store.open(paths, stemmer=stemmer)
    if store.created and any(paths.images.iterdir()):
        rebuild.demand(paths)
    report = rebuild.if_demanded(store, paths)
    if report is not None:
        _log.warning("store_rebuilt", added=report.added, skipped=len(report.skipped))
    starter = settings_module.data_folder() / models.STARTER_FOLDER
    # At every start, since an upgrade may have moved the package.
    store.presets.save(ImagePreset(name=STARTER, model=str(starter)))
    store.tags.load_starter(starter_aliases.read(settings_module.data_folder()))
    return store


def _image_worker(settings: Settings, paths: HomePaths) -> Launch:
    arguments = {
        "engine": "image",
        "images": paths.images,
        "parent-pid": os.getpid(),
        "device": settings.device,
        "threads": settings.threads,
    }
    return Launch(
        kind="image",
        arguments=[text for name, value in arguments.items() for text in (f"--{name}", str(value))],
        environment=processes.child_environment(processes.engine_environment(settings.threads)),
        log=paths.logs / "worker-image.jsonl",
    )
