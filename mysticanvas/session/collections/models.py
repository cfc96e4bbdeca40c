"""`canvas.models`: the models on this machine, wherever they lie."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import JsonValue, ValidationError

from mysticanvas.contracts.jobs import HostRequest
from mysticanvas.contracts.models import FoundModel, ModelFolder, ModelKind
from mysticanvas.contracts.pulls import ALLOWED, PullParams, PullReport
from mysticanvas.contracts.refusal import refused
from mysticanvas.errors import NotFound
from mysticanvas.session import arguments, calls, table

if TYPE_CHECKING:
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.job import Job

_SHOWN = 50
_COLUMNS = ("model", "kind", "layout", "size", "path")
_NONE = "none yet: canvas.models.add(folder) finds them, canvas.models.pull(repo_id) fetches one"


class Models:
    """Models in the cache of the Hugging Face hub and in folders that were added.

    Each has `.name`, `.kind` (`image`, `llm`, `vae`, `clip`, `lora`, …), `.layout`, `.path`,
    `.size` in bytes and `.source`; `preset=model.path` draws with one. They are looked up anew each
    time, by names and sizes: nothing is copied, changed or opened.

    Args:
        connection: where requests go.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[FoundModel]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def __getitem__(self, name: str) -> FoundModel:
        """The model of that name; the first, if several have it.

        Raises:
            NotFound: there is none.
        """
        for model in self.list():
            if model.name == name:
                return model
        raise NotFound(
            f"There is no model {name!r}.",
            hint="`canvas.models.list()` has them; `canvas.models.add(folder)` looks further, "
            "`canvas.models.pull(repo_id)` on the Hugging Face hub.",
        )

    def list(self, kind: ModelKind | None = None) -> builtins.list[FoundModel]:
        """All of them, folder by folder.

        Args:
            kind: only these; None for all.

        Raises:
            InvalidRequest: there is no such kind.
        """
        if kind is not None and kind not in get_args(ModelKind):
            raise refused("kind", kind, f"None or one of: {', '.join(get_args(ModelKind))}")
        return self._connection.call(lambda api: api.models(kind))

    def add(self, folder: str | Path) -> builtins.list[FoundModel]:
        """Look for models in a folder from now on, such as that of ComfyUI, A1111, InvokeAI or LM
        Studio; those that are in it now.

        Args:
            folder: `~` is expanded. It is read, and nothing in it is changed.

        Raises:
            InvalidRequest: there is no such folder.
        """
        whole = arguments.path("folder", folder, "the path of a folder").absolute()
        if not whole.is_dir():
            hint = f"There is no folder at {whole}."
            raise refused("folder", str(folder), "the path of a folder", hint)
        return self._connection.call(lambda api: api.add_models(ModelFolder(path=str(whole))))

    def pull(
        self,
        repo_id: str,
        revision: str | None = None,
        files: str | Sequence[str] = (),
    ) -> Job[PullReport]:
        """Fetch a model from the Hugging Face hub into its usual cache, in the background.

        `preset="owner/name"` draws with it as soon as it is there. What has been fetched stays
        whatever ends the job, also a crash: pulling again, or the orchestrator's next start, goes
        on from there. Only what a local model needs is fetched; pickles and code never are.

        Args:
            repo_id: `owner/name`, or `owner/name@revision`.
            revision: branch, tag or commit; None for `main`. The result names the commit.
            files: patterns such as `"*Q4_K_M.gguf"`, where a repository has several models: only
                weights with a name that fits one.

        Returns:
            A job whose result has `.path`, `.commit`, `.files`, `.bytes`, `.fetched_bytes`,
            `.left_out` and `.models`.

        Raises:
            InvalidRequest: an argument is not allowed. All else is an error of the job:
                `NotFound`, `PermissionDenied` (log in with `hf auth login`), `HubUnavailable`,
                `StoreFull`, `ModelFileError`.
        """
        request = HostRequest(
            kind="pull", params=_pulled(repo_id, revision, files), priority="interactive"
        )
        return calls.submit(
            self._connection, request, lambda record: PullReport.model_validate(record.result)
        )

    def _repr_html_(self) -> str:
        models = self.list()
        rows = map(_cells, models[:_SHOWN])
        return table.of(_COLUMNS, rows, none=_NONE) + table.rest(len(models) - _SHOWN)

    def __repr__(self) -> str:
        return f"<Models {len(self)}>"


def _pulled(repo_id: object, revision: object, files: object) -> dict[str, JsonValue]:
    """What a pull is asked for.

    Raises:
        InvalidRequest: an argument is not allowed.
    """
    patterns = [files] if isinstance(files, str) else arguments.listed(files)
    several = tuple(patterns) if isinstance(patterns, list) else patterns
    asked = {"repo_id": repo_id, "revision": revision, "files": several}
    try:
        params = PullParams.model_validate(asked, strict=True)
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        given = {**asked, "files": files}[name]
        raise refused(name, given, ALLOWED[name]) from None
    return params.model_dump(mode="json")


def _cells(model: FoundModel) -> tuple[str, ...]:
    return model.name, model.kind, model.layout, f"{model.size / 2**20:,.0f} MiB", model.path
