"""What orchestrator and worker say to each other.

`POST /v1/generate` answers with NDJSON: one `Message` a line, the last of them `Finished`, `Kept`
or `Failed`. Closing the connection cancels the job between two steps.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.images import FileRecord, Source
from mysticanvas.contracts.jobs import Progress
from mysticanvas.contracts.llm import ContextParams
from mysticanvas.contracts.memory import Known, MemoryPart
from mysticanvas.contracts.mitigations import Allowed
from mysticanvas.contracts.model_files import HashedFile, ModelFiles
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.recipe import Environment, Recipe
from mysticanvas.contracts.tags import TagName
from mysticanvas.contracts.tracing import Phase


class ModelRef(ModelFiles):
    """An image model to load: files on this machine, and the digest of them all."""

    kind: Literal["image"] = "image"
    digest: str
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"


class LLMRef(Contract):
    """A language model to load: a GGUF file on this machine, its digest, and how to load it."""

    kind: Literal["llm"] = "llm"
    path: str
    digest: str
    """SHA-256 of the file; with `mmproj`, one of both files."""
    mmproj: str | None = None
    """The GGUF file with which the model sees."""
    n_gpu_layers: int = Field(default=-1, ge=-1, le=9999)
    """Layers that go to the GPU, from the last one on; -1 for all."""
    context: ContextParams = ContextParams()
    hashed: tuple[HashedFile, ...] = ()
    """As in `ModelFiles`."""

    @property
    def form(self) -> str:
        """What beside the files decides what is loaded."""
        return f"{self.context} n_gpu_layers={self.n_gpu_layers}"


def _kind(model: Any) -> str:
    """Of a reference in whatever form; those of images need not name it."""
    named = model.get("kind", "image") if isinstance(model, dict) else getattr(model, "kind", "")
    return str(named)


AnyModelRef = Annotated[
    Annotated[ModelRef, Tag("image")] | Annotated[LLMRef, Tag("llm")], Discriminator(_kind)
]


class LoadRequest(Contract):
    """Body of `POST /v1/load`. A model that is loaded already is kept; one whose context was
    dropped gets it again."""

    model: AnyModelRef


class Loaded(Contract):
    """Answer of `POST /v1/load`."""

    digest: str
    device: str
    dtype: str
    seconds: float


LatentsName = Annotated[str, Field(pattern=r"^[0-9a-f-]{1,64}\.safetensors$")]
"""Of a file in the folder that workers keep latents in."""


class GenerateTask(Contract):
    """Body of `POST /v1/generate`: a batch of pictures.

    `recipe` is complete but for `batch_index` and `environment`, which the worker fills in, and for
    `mitigations`, which begin as planned and end as what was needed. Picture k gets
    `image_ids[k]`. With `only_index`, the whole batch runs and only that picture counts;
    with `unless_pixels`, a picture with these pixels is not written.
    """

    job_id: str
    attempt: int
    image_ids: list[str]
    model: ModelRef
    recipe: Recipe
    project: str
    parent: str | None = None
    source: Source = "generate"
    tags: list[TagName] = []
    created_at: datetime
    only_index: int | None = None
    unless_pixels: str | None = None
    previews: bool = False
    allowed: Allowed = "auto"
    """What may be done if memory runs out."""
    latents: LatentsName | None = None
    """What another process has sampled for this very task, to be decoded; `Kept` told its name."""


class PreviewSwitch(Contract):
    """Body of `PUT /v1/previews`: whether anybody listens."""

    enabled: bool


class Progressed(Contract):
    type: Literal["progress"] = "progress"
    progress: Progress


class Previewed(Contract):
    """A small WebP of the picture so far, base64."""

    type: Literal["preview"] = "preview"
    step: int
    webp: str


class Made(Contract):
    """A picture is encoded, on disk and fsynced; `file` is None where `unless_pixels` matched."""

    type: Literal["made"] = "made"
    image_id: str
    index: int
    recipe: Recipe
    mode: str
    pixels_sha256: str
    file: FileRecord | None


class PhaseUse(Contract):
    """What one phase of a job took of the device, apart from weights."""

    phase: Phase
    bytes: int = Field(ge=0)
    """Of activations, at the peak."""
    known: Known = "measured"
    """`measured` also where an earlier job of this process did exactly the same."""
    mitigations: tuple[str, ...] = ()
    """With which it ran."""
    at_least: bool = False
    """Whether memory ran out in it, so that it needs more than `bytes`."""


class Finished(Contract):
    """All pictures are made. Seconds per stage: `load`, `encode`, `denoise`, `decode`, `save`."""

    type: Literal["finished"] = "finished"
    seconds: dict[str, float]
    memory_parts: list[MemoryPart] = []
    """What the model holds afterwards, where the engine tells it."""
    phases: list[PhaseUse] = []
    """In the order in which they ran, where the engine measures them."""
    notices: list[str] = []
    """What the user should know of the pictures, a sentence each."""
    worn: bool = False
    """As in `Health`."""


class Kept(Contract):
    """The pictures are sampled, and could be decoded in no way that is allowed: memory ran out.
    Their latents are in a file, for a process that has the memory for it."""

    type: Literal["kept"] = "kept"
    latents: LatentsName
    mitigations: tuple[str, ...] = ()
    """With which they were sampled, and are to be decoded first."""
    seconds: dict[str, float] = {}
    ran_out: RanOut
    notices: list[str] = []
    """As in `Finished`."""


class RanOut(Contract):
    """Where memory ran out: the member `ran_out` of the problem `out_of_memory`."""

    phases: list[PhaseUse]
    """Up to the one in which it did."""
    environment: Environment
    memory_parts: list[MemoryPart] = []


class Failed(Contract):
    type: Literal["failed"] = "failed"
    problem: Problem


Message = Annotated[
    Progressed | Previewed | Made | Finished | Kept | Failed, Field(discriminator="type")
]
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
"""Reads one line of the stream."""
