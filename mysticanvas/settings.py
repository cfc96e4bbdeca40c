"""Paths, timeouts and limits, from arguments and `MYSTICANVAS_*` variables.

A plain pydantic model: every kernel pays for this import, and pydantic-settings would cost more
than all the rest of an attach.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PREFIX = "MYSTICANVAS_"

MAX_PROMPT_CHARS = 20_000
MAX_SIDE_PX = 16_384
MAX_STEPS = 1_000
MAX_IMAGES_PER_JOB = 64
MAX_BODY_BYTES = 1 << 20
MAX_SEED = 2**63 - 1
MAX_SQL_CHARS = 20_000
"""Limits of a request. They are refused in the kernel and again in the orchestrator."""


Stemmer = Literal[
    "none", "porter", "arabic", "basque", "catalan", "danish", "dutch", "english", "finnish",
    "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian",
    "lithuanian", "nepali", "norwegian", "portuguese", "romanian", "russian", "serbian", "spanish",
    "swedish", "tamil", "turkish",
]  # fmt: skip
"""Those of DuckDB's full-text extension."""

LogLevel = Literal["debug", "info", "warning", "error"]


def default_home() -> Path:
    """The platform's user data directory for MystiCanvas."""
    # Late: most processes are told their home, and every kernel pays for this module.
    import platformdirs

    return Path(platformdirs.user_data_dir("mysticanvas", appauthor=False))


def data_folder() -> Path:
    """What ships with the package: `mysticanvas/_data` in a wheel, `data/` in a checkout."""
    package = Path(__file__).parent
    packaged = package / "_data"
    return packaged if packaged.is_dir() else package.parent / "data"


class Settings(BaseModel):
    """One frozen set of settings; `Settings.load()` is how to get it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default_factory=default_home)
    """Where database, images, logs and the runtime file are."""
    keep_alive_s: float = Field(default=900, gt=0)
    """Seconds without use after which a model leaves the device."""
    idle_timeout_s: float = Field(default=900, gt=0)
    """Seconds without request, job or listener after which the orchestrator stops."""
    start_timeout_s: float = Field(default=60, gt=0)
    """Seconds that a kernel waits for the orchestrator to answer."""
    stop_timeout_s: float = Field(default=10, gt=0)
    """Seconds that a worker has to end after it was asked to, before it is killed."""
    min_free_mib: int = Field(default=256, ge=0)
    """MiB that must be free on the home's disk for a job to be accepted."""
    keep_internal_jobs_days: float = Field(default=7, gt=0)
    """Days for which an internal job that has ended is remembered; a user's are for ever."""
    disk_quota_mib: int | None = Field(default=None, ge=1)
    """MiB that all files of pictures may take together; None for no limit but the disk's."""
    deleted_grace_days: float = Field(default=7, ge=0)
    """Days after which the files of a deleted picture are removed; until then it can come back."""
    thumbnail_processes: int = Field(
        default_factory=lambda: max(1, min(8, (os.cpu_count() or 1) // 2)), ge=1
    )
    """Processes that make thumbnails, at most; they are started when there is something to do."""
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """CPU threads of a worker. They change pixels slightly, so a recipe records them."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """The device of the image worker."""
    sql_timeout_s: float = Field(default=30, gt=0)
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
        """Arguments first, then `MYSTICANVAS_*` variables, then the defaults.

        Args:
            environ: the environment to read; the process's own by default.
            given: settings by name; None means "not given".

        Raises:
            pydantic.ValidationError: a value is not allowed.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            name: environ[PREFIX + name.upper()]
            for name in cls.model_fields
            if environ.get(PREFIX + name.upper())
        }
        values |= {name: value for name, value in given.items() if value is not None}
        settings = cls(**values)
        return settings.model_copy(update={"home": settings.home.expanduser().absolute()})

    def to_environ(self) -> dict[str, str]:
        """The same settings as variables, for a child process."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            PREFIX + name.upper(): str(value) for name, value in values.items() if value is not None
        }


class HomePaths(typing.NamedTuple):
    """Where things are inside a home directory."""

    root: Path
    database: Path
    write_ahead_log: Path
    images: Path
    thumbs: Path
    backups: Path
    logs: Path
    run: Path
    runtime_file: Path
    start_lock: Path
    store_lock: Path
    high_water: Path

    @classmethod
    def of(cls, home: Path) -> HomePaths:
        """The paths below `home`; nothing is created."""
        run = home / "run"
        return cls(
            root=home,
            database=home / "mysticanvas.duckdb",
            write_ahead_log=home / "mysticanvas.duckdb.wal",
            images=home / "images",
            thumbs=home / "thumbs",
            backups=home / "backups",
            logs=home / "logs",
            run=run,
            runtime_file=run / "orchestrator.json",
            start_lock=run / "start.lock",
            store_lock=run / "store.lock",
            high_water=run / "store.high-water",
        )

    def create(self) -> None:
        """Make the folders, private to the user (mode 0700)."""
        for folder in (self.root, self.images, self.thumbs, self.backups, self.logs, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
