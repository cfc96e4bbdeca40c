"""Language models: what a file says of one, and how it is to be loaded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.problem import Problem

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
"""How keys and values are kept; what llama.cpp takes as `--cache-type-k` and `--cache-type-v`."""
MAX_LAYERS = 512
"""Of llama.cpp, which ends the process over more."""
MAX_CONTEXT = 1 << 24
MAX_BATCH = 1 << 16
PROJECTOR = "clip"
"""What a GGUF file that sees for a model names as its architecture."""
UNQUANTISED = ("f32", "f16", "bf16")


class ContextParams(Contract):
    """A context of llama.cpp: what it keeps of a conversation, and how much it computes at once."""

    n_ctx: int = Field(default=4096, ge=0, le=MAX_CONTEXT)
    """Tokens; 0 for as many as the model was trained with. llama.cpp rounds up to 256s."""
    n_batch: int = Field(default=512, ge=1, le=MAX_BATCH)
    """Tokens that are handed over at once."""
    n_ubatch: int = Field(default=512, ge=1, le=MAX_BATCH)
    """Tokens that are computed at once."""
    type_k: CacheType = "f16"
    type_v: CacheType = "f16"
    flash_attn: bool = True
    """Without it, attention takes memory that grows with `n_ctx` times `n_ubatch`."""
    swa_full: bool = False
    """Keep the whole context in layers that look back through a window only."""

    @model_validator(mode="after")
    def _quantised_values_need_flash_attention(self) -> ContextParams:
        if self.type_v not in UNQUANTISED and not self.flash_attn:
            raise ValueError(
                f"type_v is {self.type_v}, which llama.cpp takes with flash_attn=True only; "
                f"without it: {', '.join(UNQUANTISED)}"
            )
        return self


class AttentionLayer(Contract):
    """A layer, as far as its cache goes."""

    kv_heads: int
    """Heads of keys and values; 0 if the layer has no cache."""
    key_length: int
    value_length: int
    """Elements of a key and of a value, a head."""
    sliding: bool = False
    """Whether it looks back through a window only."""


class LanguageModel(Contract):
    """What a GGUF file says of its model, without the weights."""

    architecture: str
    """As llama.cpp calls it, such as `llama` or `gemma3`."""
    layers: tuple[AttentionLayer, ...]
    embedding: int
    """Elements of a token's embedding."""
    context_length: int
    """Tokens that it was trained with."""
    dtype: str
    """How ggml stores most of its weights, such as `q4_K`."""
    vocabulary: int
    """Tokens that it knows."""
    window: int = 0
    """Tokens that sliding layers look back on; 0 if there are none."""
    plain_cache: bool = True
    """Whether keys and values of every layer are all that is kept of a conversation. Recurrent
    layers, latent attention and caches that layers share are not."""
    input_bytes: int
    layer_bytes: tuple[int, ...]
    output_bytes: int
    """Of the tensors before, in each of and behind the layers."""
    tied_bytes: int = 0
    """Of those before the layers that stand behind them too, where the file has none of its own
    there; they are held twice if the two lie on different devices."""

    @property
    def weights_bytes(self) -> int:
        """Of all tensors."""
        return self.input_bytes + sum(self.layer_bytes) + self.output_bytes


class InspectionOrder(Contract):
    """What is asked of `python -m mysticanvas.workers.llm.inspector`, as a line of JSON."""

    path: str
    mmproj: str | None = None
    """The file with which the model sees."""
    n_gpu_layers: int = -1
    contexts: list[ContextParams] = Field(default=[], max_length=64)
    """Those for which the buffers are to be told."""


class Inspection(Contract):
    """What a file would take, without a weight of it loaded."""

    model: LanguageModel
    mmproj_bytes: int = 0
    """Of the tensors of the file with which the model sees."""
    devices: list[str] = []
    """Where llama.cpp puts the layers, one by one, and at last what stands behind them; empty if it
    was not asked. What stands before them lies in system memory."""
    buffers: list[list[MemoryPart]] = []
    """What llama.cpp would set aside for the cache, for computing and for the output, a list for
    each context of the order. It tells sizes to a hundredth of a MiB."""


class InspectionAnswer(Contract):
    """The answer: one of the two."""

    inspection: Inspection | None = None
    problem: Problem | None = None
