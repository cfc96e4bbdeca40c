"""What a language model takes in llama.cpp, to the byte.

The rules are those of llama.cpp as of llama-cpp-python 0.3.36 (`llama-kv-cache.cpp`,
`llama-kv-cache-iswa.cpp` and `output_reserve` in `llama-context.cpp`). The compute buffer follows
from the graph of each architecture, so it is not computed here: llama.cpp reports it for a load
that allocates nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from mysticanvas.contracts.llm import AttentionLayer, CacheType, ContextParams, LanguageModel
from mysticanvas.contracts.memory import Known, Term
from mysticanvas.contracts.refusal import refused

MIB = 2**20
WEIGHTS, CACHE, COMPUTE, OUTPUT = "weights", "kv cache", "compute", "output"
"""Names of the terms."""
PROJECTOR = "weights.mmproj"
"""Name of the term for what a model sees with."""
_PAD = 256
_LOGIT_BYTES = 4
_BLOCKS: dict[CacheType, tuple[int, int]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
"""Elements and bytes of a block."""


def terms(
    model: LanguageModel,
    params: ContextParams,
    compute_bytes: int,
    cache_bytes: int | None = None,
    mmproj_bytes: int = 0,
) -> list[Term]:
    """What a model will take with a context, wherever its parts lie.

    Args:
        model: what its file says.
        params: of the context.
        compute_bytes: of the compute buffers, as llama.cpp reports them for these parameters.
        cache_bytes: of the cache, as llama.cpp reports it; counts where the model's cache is not
            plain.
        mmproj_bytes: of the weights that it sees with; 0 if it does not.

    Raises:
        ValueError: the cache is not plain, and what it takes was not given.
    """
    plain = model.plain_cache
    if plain:
        cache_bytes = kv_bytes(model, params)
    if cache_bytes is None:
        raise ValueError(f"no formula is known for the cache of {model.architecture!r}")
    sight = [_term(PROJECTOR, mmproj_bytes, "exact")] if mmproj_bytes else []
    return [
        _term(WEIGHTS, model.weights_bytes, "exact"),
        *sight,
        _term(CACHE, cache_bytes, "exact" if plain else "probed"),
        _term(COMPUTE, compute_bytes, "probed"),
        _term(OUTPUT, output_bytes(model), "exact"),
    ]


def cells(model: LanguageModel, params: ContextParams) -> tuple[int, int]:
    """Tokens for which there is room: in a layer that sees all, and in one with a window."""
    full = _padded(params.n_ctx or model.context_length)
    if params.swa_full:
        return full, full
    batch = min(params.n_ctx or model.context_length, params.n_batch, params.n_ubatch)
    return full, _padded(min(full, model.window + batch))


def kv_bytes(model: LanguageModel, params: ContextParams) -> int:
    """Bytes of keys and values: `cells · Σ_layers [row(K) + row(V)]`, by the cells of each layer.

    A row is `kv_heads · length` elements in the blocks of its type.

    Raises:
        ValueError: a row is no whole number of blocks, which llama.cpp refuses.
    """
    full, sliding = cells(model, params)
    value_rows = [
        _row_bytes(elements, params.type_v) for elements in _value_elements(model, params)
    ]
    return sum(
        (sliding if layer.sliding else full)
        * (_row_bytes(layer.kv_heads * layer.key_length, params.type_k) + value_row)
        for layer, value_row in zip(model.layers, value_rows, strict=True)
    )


def check_cache(model: LanguageModel, params: ContextParams) -> None:
    """Refuse a number format of the cache in which the model's heads are no whole blocks. llama.cpp
    does so when it makes the context. Of a cache that is not plain, it alone knows the heads.

    Raises:
        InvalidRequest: names `type_k` or `type_v`, and the formats that the model can have.
    """
    if not model.plain_cache:
        return
    for member, kind, lengths in (
        ("type_k", params.type_k, {layer.key_length for layer in model.layers}),
        ("type_v", params.type_v, {layer.value_length for layer in model.layers}),
    ):
        block = _BLOCKS[kind][0]
        if odd := [length for length in sorted(lengths) if length % block]:
            fit = [
                name
                for name, (each, _) in _BLOCKS.items()
                if not any(length % each for length in lengths)
            ]
            raise refused(
                member,
                kind,
                f"{', '.join(fit)} for this model",
                f"A head has {odd[0]} elements, which are no whole blocks of {kind} ({block}).",
            )


def output_bytes(model: LanguageModel) -> int:
    """Bytes of the logits of one token, which is what a context sets aside at first."""
    return model.vocabulary * _LOGIT_BYTES


def total_mib(terms: Iterable[Term]) -> float:
    """Their sum."""
    return sum(term.mib for term in terms)


def _value_elements(model: LanguageModel, params: ContextParams) -> list[int]:
    """Elements of the values of a token, a layer. Without flash attention they are kept transposed,
    each layer with the room of the widest."""
    each = [_values(layer) for layer in model.layers]
    return each if params.flash_attn else [max(each, default=0)] * len(each)


def _values(layer: AttentionLayer) -> int:
    return layer.kv_heads * layer.value_length


def _row_bytes(elements: int, kind: CacheType) -> int:
    block, size = _BLOCKS[kind]
    if elements % block:
        raise ValueError(
            f"a row of {elements} elements is no whole number of blocks of {kind} ({block})"
        )
    return elements // block * size


def _padded(tokens: int) -> int:
    return -(-tokens // _PAD) * _PAD


def _term(name: str, size: int, known: Known) -> Term:
    return Term(name=name, mib=size / MIB, known=known)
