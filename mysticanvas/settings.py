"""Timeouts, limits and where the home is, from arguments and `MYSTICANVAS_*` variables.

A plain pydantic model: every kernel pays for this import, and pydantic-settings would cost more
than all the rest of an attach.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mysticanvas.home import HomePaths, default_home, known_state

PREFIX = "MYSTICANVAS_"

MAX_PROMPT_CHARS = 20_000
MAX_SIDE_PX = 16_384
MAX_STEPS = 1_000
MAX_IMAGES_PER_JOB = 64
MAX_BODY_BYTES = 1 << 20
MAX_SEED = 2**63 - 1
MAX_SQL_CHARS = 20_000
MAX_SEARCH_CHARS = 4_000
"""Limits of a request. They are refused in the kernel and again in the orchestrator."""

_LAST_WORK_S = 15.0
"""What an orchestrator may take for its end beside its worker."""

Ipc = Literal["tcp", "unix", "pipe"]
"""What carries the HTTP between processes; see `transport.py`."""

Stemmer = Literal[
    "none", "porter", "arabic", "basque", "catalan", "danish", "dutch", "english", "finnish",
    "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian",
    "lithuanian", "nepali", "norwegian", "portuguese", "romanian", "russian", "serbian", "spanish",
    "swedish", "tamil", "turkish",
]  # fmt: skip
"""Those of DuckDB's full-text extension."""

LogLevel = Literal["debug", "info", "warning", "error"]


def data_folder() -> Path:
    """What ships with the package: `mysticanvas/_data` in a wheel, `data/` in a checkout."""
    package = Path(__file__).parent
    packaged = package / "_data"
    return packaged if packaged.is_dir() else package.parent / "data"


def _absolute(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("A path has no NUL.")
    try:
        absolute = path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"The home of {path.parts[0]} is not known.") from None
    try:
        str(absolute).encode()
    except UnicodeEncodeError:
        raise ValueError("The database has to have a path of Unicode text.") from None
    if "?" in str(absolute):
        raise ValueError("The database takes what follows a ? for options: leave that out.")
    return absolute


_Folder = Annotated[Path, AfterValidator(_absolute)]
_Seconds = Annotated[float, Field(gt=0, le=1e9)]
"""At most some thirty years: as good as never, and a time that the system can wait. Infinity is
neither that, nor is it in JSON."""
_MOST_DAYS = 100_000
"""That before today is a date still."""


class Settings(BaseModel):
    """One frozen set of settings; `Settings.load()` is how to get it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: _Folder = Field(default_factory=default_home, validate_default=True)
    """Where database, images, logs and the runtime file are."""
    state: _Folder | None = None
    """Where database, backups and `run/` are instead, of this home alone: a folder on a local disk,
    for a home on a file system whose locks do not hold. A home that has been used with one keeps
    it, so that it need not be given again."""
    keep_alive_s: _Seconds = 900
    """Seconds without use after which a model leaves the device."""
    idle_timeout_s: _Seconds = 900
    """Seconds without request, job or listener after which the orchestrator stops."""
    start_timeout_s: _Seconds = 60
    """Seconds that a kernel waits for the orchestrator to answer, or for a sign that its start is
    at work: a store that is made again from a million pictures takes longer."""
    stop_timeout_s: _Seconds = 10
    """Seconds that a worker has to end after it was asked to, before it is killed."""
    spare_worker: bool = True
    """Whether a process with the engine imported is kept in reserve, for when a worker is lost; it
    takes some 300 MB. With a memory budget there is none."""
    worker_patience: float = Field(default=1.0, gt=0, le=1e6)
    """Factor on all the time that a worker may be silent or stay at one step before it is taken
    to hang, for a machine that is slow."""
    ipc: Ipc = "tcp"
    """What carries the HTTP between processes: a port of the loopback interface, or a Unix socket
    in `run/`. Named pipes are refused so far."""
    min_free_mib: int = Field(default=256, ge=0)
    """MiB that must be free on the home's disk for a job to be accepted."""
    keep_internal_jobs_days: float = Field(default=7, gt=0, le=_MOST_DAYS)
    """Days for which an internal job that has ended is remembered; a user's are for ever."""
    disk_quota_mib: int | None = Field(default=None, ge=1)
    """MiB that all files of pictures may take together, with those that queued jobs are to make;
    None for no limit but the disk's."""
    deleted_grace_days: float = Field(default=7, ge=0, le=_MOST_DAYS)
    """Days after which the files of a deleted picture are removed; until then it can come back."""
    thumbnail_processes: int = Field(
        default_factory=lambda: max(1, min(8, (os.cpu_count() or 1) // 2)), ge=1
    )
    """Processes that make thumbnails, at most; they are started when there is something to do."""
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """CPU threads of a worker. They change pixels slightly, so a recipe records them."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """That of the image worker; a GPU that `auto` found and that is lost is no reason for a CPU,
    nor is it in later orchestrators of the home on that machine, until a device is set for one."""
    memory_budget_mib: int | None = Field(default=None, ge=1)
    """MiB of system memory that the workers may take together, where there is no GPU; None for all
    that the system can give."""
    plugins: str = "all"
    """Which plug-ins are loaded: `all`, `off`, names of the only ones (`a,b`), or of those to leave
    out (`-a,-b`)."""
    engine: str = "image"
    """Kind of the engine in the worker's slot, ours or a plug-in's."""
    launcher: str = "local"
    """What starts the worker: `local`, or what a plug-in brings."""
    sql_timeout_s: _Seconds = 30
    """Seconds that a query of `canvas.sql` may take."""
    sql_max_rows: int = Field(default=1_000_000, ge=1)
    """Rows that a query of `canvas.sql` may give."""
    search_stemmer: Stemmer = "porter"
    """What makes one word of its forms in the search: `porter` for English, a language for that,
    `none` to take words as they are. Another one than before makes the index anew."""
    log_level: Annotated[LogLevel, BeforeValidator(lambda text: str(text).lower())] = "info"
    """What is written to the logs; at `debug`, prompts are, too."""
    progress: Literal["auto", "off"] = "auto"
    """Whether `generate` shows a progress line."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Arguments first, then `MYSTICANVAS_*` variables, then the defaults; a home that has its
        state elsewhere knows where that is.

        Args:
            environ: the environment to read; the process's own by default.
            given: settings by name; None means "not given".

        Raises:
            pydantic.ValidationError: a value is not allowed.
            NoDefaultHome: as `default_home`.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            name: environ[PREFIX + name.upper()]
            for name in cls.model_fields
            if environ.get(PREFIX + name.upper())
        }
        values |= {name: value for name, value in given.items() if value is not None}
        settings = cls(**values)
        state = None if settings.state else known_state(settings.home)
        return settings if state is None else cls(**values, state=state)

    @classmethod
    def allowed(cls, name: str) -> str:
        """What the setting of that name takes, in words."""
        field = cls.model_fields[name]
        kind = _kind(field.annotation)
        if typing.get_origin(kind) is Literal:
            *others, last = (repr(word) for word in typing.get_args(kind))
            return f"{', '.join(others)} or {last}"
        return " ".join([_KINDS[kind], *filter(None, map(_limit, field.metadata))])

    @property
    def end_timeout_s(self) -> float:
        """Seconds that an orchestrator may take to end with its workers: the job that runs settles,
        the worker ends, and the store makes its CHECKPOINT."""
        return self.stop_timeout_s + _LAST_WORK_S

    @property
    def paths(self) -> HomePaths:
        """Where things are."""
        return HomePaths.of(self.home, self.state)

    def to_environ(self) -> dict[str, str]:
        """The same settings as variables, for a child process."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            PREFIX + name.upper(): str(value) for name, value in values.items() if value is not None
        }


_KINDS: dict[Any, str] = {
    bool: "True or False",
    float: "a number",
    int: "a whole number",
    str: "text",
    Path: "the path of a folder",
}


def _kind(annotation: Any) -> Any:
    """The type that an annotation names, without None and what only validates."""
    while typing.get_origin(annotation) not in (None, Literal):
        annotation = typing.get_args(annotation)[0]
    return annotation


def _limit(constraint: Any) -> str:
    if (above := getattr(constraint, "gt", None)) is not None:
        return f"above {above:g}"
    if (most := getattr(constraint, "le", None)) is not None:
        return f"and at most {most:,.0f}"
    least = getattr(constraint, "ge", None)
    return "" if least is None else f"from {least:g}"
