"""What an architecture needs in memory besides its weights, as a trace of it tells."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from mysticanvas.contracts.base import Contract, sha256_of
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.mitigations import Decoding, Offload
from mysticanvas.contracts.model_files import ModelFiles
from mysticanvas.contracts.problem import Problem

Phase = Literal["text_encode", "denoise", "vae_encode", "vae_decode"]
Dtype = Literal["float32", "float16", "bfloat16"]
Attention = Literal["flash", "efficient", "math"]
"""How attention is computed: in blocks, with sums for each query kept; in blocks; or as the whole
matrix of weights."""
BatchClass = Literal["one", "more"]
"""With one item in a batch, several operations copy less, or work in another way."""

Coefficients = tuple[float, float, float, float, float, float]
"""Of 1, b, b·t, b·(w + h), b·w·h and b·(w·h)², where b is the batch, t are the tokens, w and h the
width and height of a `Shape`."""


class Shape(Contract):
    """What a model is called with."""

    batch: int = Field(default=1, ge=1)
    """Items in one call of the model: guidance doubles it."""
    width: int = Field(default=1, ge=1)
    """Of the latents, in pixels; tokens of the prompt for a text encoder."""
    height: int = Field(default=1, ge=1)
    """Of the latents, in pixels; 1 for a text encoder."""
    tokens: int = Field(default=0, ge=0)
    """Tokens that the pictures are conditioned on; 0 for a model that takes none."""


class Scratch(Contract):
    """The call of flash attention on a CPU, whose buffers depend on its lengths by steps."""

    queries: Coefficients
    """How many there are, for a batch of one."""
    keys: Coefficients
    width: int
    """Numbers in the vector of a head."""


class Unfolding(Contract):
    """A convolution on a CPU that takes another way while its input is small."""

    numbers: Coefficients
    """In its input, for a batch of one."""
    columns: Coefficients
    """Bytes that the other way takes instead of the workspace, for a batch of one."""


class Row(Contract):
    """Bytes while one operation runs."""

    live: Coefficients
    """Of the tensors that live then."""
    workspace: Coefficients
    """Of what the operation takes for itself."""
    scratch: Scratch | None = None
    unfolding: Unfolding | None = None


class Envelope(Contract):
    """The operations of a phase that can be its peak for some shape."""

    rows: tuple[Row, ...]


class EnvelopeKey(Contract):
    """All that an envelope depends on."""

    phase: Phase
    architecture: str
    """Class of the model, such as `UNet2DConditionModel`."""
    config: str
    """SHA-256 of its configuration, 64 hexadecimal digits."""
    device: DeviceKind
    dtype: Dtype
    attention: Attention
    copies_input: bool = True
    batch: BatchClass
    adapters: str = ""
    """SHA-256 of which of its modules LoRAs change, and at what ranks, and of which matrices are
    quantised; empty where there is neither."""
    called: str = ""
    """SHA-256 of how a text encoder is called, where the class of its pipeline says so."""
    versions: dict[str, str]
    """Of the libraries that were traced."""

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, equal for equal keys."""
        # Without these as it was before there were any: measurements are kept by it.
        empty = {name for name in ("adapters", "called") if not getattr(self, name)}
        return sha256_of(self.model_dump(exclude=empty))


class Traced(Contract):
    """An envelope under its key."""

    key: EnvelopeKey
    component: str
    """Folder of the model in the pipeline, such as `unet`."""
    envelope: Envelope


class LatentSpace(Contract):
    """Between which spaces the autoencoder and the denoiser work."""

    factor: int
    """Pixels of the picture to a pixel of the latents, along a side."""
    channels: int
    """Of the latents."""
    embedding: int
    """Numbers in the embedding of a token; 0 if the denoiser takes none."""


class Moved(Contract):
    """Bytes of a component's weights that are on the device at once while they are offloaded."""

    layers: int = Field(ge=0)
    """Moved layer by layer."""
    groups: int = Field(ge=0)
    """Moved as for `offload_group`."""


class TraceOrder(ModelFiles):
    """What is to be traced, of a model."""

    dtype: Dtype
    device: DeviceKind = "cpu"
    attention: Attention = "flash"
    """That the device takes first; calls that it does not suit are known by their tensors."""
    copies_input: bool = True
    """Whether convolutions of CUDA in float32 copy their input as well; devices differ."""
    phases: tuple[Phase, ...] = ("text_encode", "denoise", "vae_decode")
    denoise: BatchClass = "more"
    """Of the denoiser's calls; `one` is a single picture without guidance."""
    images: BatchClass = "one"
    """Of the autoencoder's calls."""
    known: frozenset[str] = frozenset()
    """Digests of the keys whose envelopes the asker has."""


class ProfileOrder(ModelFiles):
    """Body of a worker's `POST /v1/profile`: what a model needs on the worker's own device."""

    dtype: Dtype | Literal["auto"] = "auto"
    """Number format that is wanted."""
    denoise: BatchClass = "more"
    images: BatchClass = "one"
    """As in a `TraceOrder`."""
    works: tuple[ImageWork, ...] = Field(default=(), max_length=16)
    """Jobs whose reserve is wanted; nothing else is traced then."""


class ImageProfile(Contract):
    """All that is known of a model's needs, for one device and number format."""

    dtype: Dtype
    device: DeviceKind
    weights: dict[str, int]
    """Component -> bytes in the format that it runs in."""
    decoding_weights: int = 0
    """Bytes that the autoencoder takes more while it decodes, where it is converted for that."""
    lora_bytes: int = 0
    """Of LoRAs, in the format that they run in."""
    latents: LatentSpace
    tokens: int = Field(default=77, ge=1)
    """Of a prompt that the pipeline has filled up or cut off."""
    pipeline: str = ""
    """Class of diffusers that runs it."""
    distilled: bool = False
    """Whether guidance is a number that its denoiser takes, so that a batch is never doubled."""
    traced: tuple[Traced, ...]
    decodings: tuple[Decoding, ...] = get_args(Decoding)
    """How its pictures can be decoded with less memory."""
    offloads: tuple[Offload, ...] = ()
    """How its pipeline can be offloaded."""
    moved: dict[str, Moved] = {}
    """Component -> what is on the device of it then; empty where there is no CPU beside it."""


class TraceAnswer(Contract):
    """What was found out for an order."""

    profile: ImageProfile
    """Its envelopes are those that were not known."""
    keys: tuple[EnvelopeKey, ...]
    """Of every envelope that the order needs, known or not."""
    seconds: float
    """Spent on it, without starting the process and importing libraries."""
    peak_rss: int
    """Most bytes that the process had resident."""
    reserved: tuple[int, ...] = ()
    """Bytes that the allocator of CUDA has reserved at the peak of each work that was asked about,
    without the context; empty on other devices."""
    probed: bool = True
    """Whether the device was asked what it does, as far as that had to be; else the most was
    assumed, since it was too full to be asked."""


class TraceReply(Contract):
    """An answer, or why there is none."""

    answer: TraceAnswer | None = None
    problem: Problem | None = None
