"""What a language model takes in llama.cpp, to the byte.

The rules are those of llama.cpp as of llama-cpp-python 0.3.36 (`llama-kv-cache.cpp`,
`llama-kv-cache-iswa.cpp` and `output_reserve` in `llama-context.cpp`). The compute buffer follows
from the graph of each architecture, so it is not computed here: llama.cpp reports it for a load
that allocates nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mysticanvas.contracts.llm import AttentionLayer, CacheType, ContextParams, LanguageModel
from mysticanvas.contracts.memory import Known, MemoryPart, Term
from mysticanvas.contracts.refusal import refused

MIB = 2**20
WEIGHTS, CACHE, COMPUTE, OUTPUT = "weights", "kv cache", "compute", "output"
"""Names of the terms."""
PROJECTOR = "weights.mmproj"
"""Name of the term for what a model sees with."""
STEP = 256
"""Tokens that llama.cpp rounds a context up to whole numbers of."""
SYSTEM = "CPU"
"""Where lies what is on no other device, as llama.cpp calls it."""
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


def parts(
    model: LanguageModel,
    params: ContextParams,
    planned: Sequence[MemoryPart],
    devices: Sequence[str],
    mmproj_bytes: int = 0,
) -> list[MemoryPart]:
    """What a model will take with a context, and where: one part for each name and device.

    Args:
        model: what its file says.
        params: of the context.
        planned: buffers of the context, as llama.cpp reports them.
        devices: of the layers, and at last of what stands behind them, as llama.cpp names them. For
            those that it does not name, it is the one that computes most.
        mmproj_bytes: as of `terms`; they lie where what stands behind the layers does.
    """
    probed = round(sum(part.mib for part in planned if part.name == CACHE) * MIB)
    whole = {term.name: term for term in terms(model, params, 0, probed, mmproj_bytes)}
    places = _places(model, planned, devices)
    output = next((part.device for part in planned if part.name == OUTPUT), SYSTEM)
    return [
        *_shared(whole[WEIGHTS], _weights_by_device(model, places)),
        *(_shared(whole[PROJECTOR], {places[-1]: mmproj_bytes}) if mmproj_bytes else []),
        *_shared(whole[CACHE], _cache_by_device(model, params, places, probed)),
        *(part for part in planned if part.name == COMPUTE),
        *_shared(whole[OUTPUT], {output: output_bytes(model)}),
    ]


def rungs(n_ctx: int) -> list[int]:
    """Tokens of contexts, up to one, whose buffers tell those of all between: see `between`."""
    powers = (STEP << k for k in range(n_ctx.bit_length()))
    return [*(tokens for tokens in powers if tokens < n_ctx), n_ctx]


def between(planned: Mapping[int, Sequence[MemoryPart]], tokens: int) -> Sequence[MemoryPart]:
    """The buffers of a context, by those of a shorter and a longer one. They grow evenly with the
    tokens or ever faster, so this is not too little.

    Args:
        planned: tokens of a context -> its buffers.
        tokens: from the least to the most of these.
    """
    if tokens in planned:
        return planned[tokens]
    shorter = max(each for each in planned if each < tokens)
    longer = min(each for each in planned if each > tokens)
    share = (tokens - shorter) / (longer - shorter)
    least = {(part.name, part.device): part.mib for part in planned[shorter]}
    return [
        part.model_copy(update={"mib": share * part.mib + (1 - share) * mib})
        for part in planned[longer]
        for mib in (least.get((part.name, part.device), 0.0),)
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
    return sum(_kv_bytes(model, params))


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


def _kv_bytes(model: LanguageModel, params: ContextParams) -> list[int]:
    """Of each layer."""
    full, sliding = cells(model, params)
    value_rows = [
        _row_bytes(elements, params.type_v) for elements in _value_elements(model, params)
    ]
    return [
        (sliding if layer.sliding else full)
        * (_row_bytes(layer.kv_heads * layer.key_length, params.type_k) + value_row)
        for layer, value_row in zip(model.layers, value_rows, strict=True)
    ]


def _places(
    model: LanguageModel, planned: Sequence[MemoryPart], devices: Sequence[str]
) -> list[str]:
    """The device of each layer, and of what stands behind them."""
    computing = [part for part in planned if part.name == COMPUTE]
    usual = max(computing, key=lambda part: part.mib).device if computing else SYSTEM
    count = len(model.layers) + 1
    return [*devices[:count], *[usual] * (count - len(devices))]


def _weights_by_device(model: LanguageModel, places: Sequence[str]) -> Mapping[str, int]:
    sizes = defaultdict(int, {SYSTEM: model.input_bytes})
    behind = model.output_bytes + (model.tied_bytes if places[-1] != SYSTEM else 0)
    for place, size in zip(places, (*model.layer_bytes, behind), strict=True):
        sizes[place] += size
    return sizes


def _cache_by_device(
    model: LanguageModel, params: ContextParams, places: Sequence[str], probed: int
) -> Mapping[str, int]:
    count = len(model.layers)
    # Of a cache without a rule only the whole is known.
    each = _kv_bytes(model, params) if model.plain_cache else [-(-probed // count)] * count
    sizes: defaultdict[str, int] = defaultdict(int)
    for place, size in zip(places, each, strict=False):
        sizes[place] += size
    return sizes


def _shared(whole: Term, sizes: Mapping[str, int]) -> list[MemoryPart]:
    """A term, as its bytes are shared among devices."""
    return [
        MemoryPart(name=whole.name, mib=size / MIB, known=whole.known, device=device)
        for device, size in sizes.items()
        if size
    ]


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
    return -(-tokens // STEP) * STEP


def _term(name: str, size: int, known: Known) -> Term:
    return Term(name=name, mib=size / MIB, known=known)
