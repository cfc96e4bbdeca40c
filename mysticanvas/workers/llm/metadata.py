"""What the header of a GGUF file says of its language model."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from mysticanvas.contracts.llm import MAX_LAYERS, PROJECTOR, AttentionLayer, LanguageModel
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.llm import sliding
from mysticanvas.workers.model_files.gguf import Header, Scalar

_MAX_LENGTH = 1 << 24
_LAYER = re.compile(r"blk\.(\d{1,4})\.")
_INPUT = ("token_", "position_embd.", "per_layer_token_embd.")
"""How names of tensors before the layers begin."""
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_OTHER_CACHES = (
    "attention.indexer.", "attention.kv_lora_rank", "attention.shared_kv_layers", "kda.",
    "shortconv.", "ssm.", "token_shift_count", "wkv.",
)  # fmt: skip
"""Members of the metadata of models that keep something else than keys and values a layer."""


def describe(header: Header, path: Path) -> LanguageModel:
    """The model of a GGUF file.

    Args:
        header: of the file, checked.
        path: for messages.

    Raises:
        ModelFileError: it is no language model, or lacks what one must say of itself.
    """
    return _Reader(header, path).model()


def projector_bytes(header: Header, path: Path) -> int:
    """Bytes of the tensors of a file with which a language model sees.

    Args:
        header: of the file, checked.
        path: for messages.

    Raises:
        ModelFileError: it is something else.
    """
    named = header.values.get("general.architecture")
    if named != PROJECTOR or not header.tensors:
        raise ModelFileError(
            f"{path} holds nothing that a language model sees with: its architecture is {named!r}, "
            f"and {PROJECTOR!r} is needed.",
            hint="Give the file named mmproj that belongs to the model.",
        )
    return sum(tensor.bytes for tensor in header.tensors)


class _Reader:
    """Reads the members of one architecture."""

    def __init__(self, header: Header, path: Path) -> None:
        self._header = header
        self._path = path
        self._architecture = self._known_architecture()

    def model(self) -> LanguageModel:
        layers = self._number("block_count", 1, MAX_LAYERS)
        slides = sliding.find(self._header, self._architecture, layers)
        window, sliding_layers = slides or (0, (False,) * layers)
        head, body, tail = self._bytes_by_part(layers)
        return LanguageModel(
            architecture=self._architecture,
            layers=self._layers(sliding_layers),
            embedding=self._number("embedding_length", 1),
            context_length=self._number("context_length", 1),
            dtype=self._dtype(),
            vocabulary=self._header.lengths["tokenizer.ggml.tokens"],
            window=window,
            plain_cache=slides is not None and not self._keeps_something_else(),
            input_bytes=head,
            layer_bytes=body,
            output_bytes=tail,
            tied_bytes=self._tied_bytes(),
        )

    def _known_architecture(self) -> str:
        named = self._header.values.get("general.architecture")
        if not isinstance(named, str) or not named:
            raise self._bad("names no architecture")
        if named == PROJECTOR or "tokenizer.ggml.tokens" not in self._header.lengths:
            raise self._bad(f"holds no language model, but {named!r} without a vocabulary")
        if self._header.values.get("split.count", 1) != 1:
            raise ModelFileError(
                f"{self._path} is a part of a model that is split over several files.",
                hint="Merge them: llama-gguf-split --merge FIRST-PART OUTPUT.",
            )
        if not self._header.tensors:
            raise self._bad("holds no weights")
        return named

    def _layers(self, slides: tuple[bool, ...]) -> tuple[AttentionLayer, ...]:
        count = len(slides)
        heads = self._per_layer("attention.head_count", count, None)
        kv_heads = self._per_layer("attention.head_count_kv", count, heads)
        usual = self._number("embedding_length", 1) // heads[0] if heads[0] else 0
        key, value = self._length("key", usual), self._length("value", usual)
        sliding_key = self._length("key", key, "_swa")
        sliding_value = self._length("value", value, "_swa")
        return tuple(
            AttentionLayer(
                kv_heads=kv,
                key_length=sliding_key if slide else key,
                value_length=sliding_value if slide else value,
                sliding=slide,
            )
            for kv, slide in zip(kv_heads, slides, strict=True)
        )

    def _length(self, of: str, usual: int, which: str = "") -> int:
        """Elements of a key or value, a head."""
        name = f"attention.{of}_length{which}"
        return self._number(name, 1) if self._value(name) is not None else usual

    def _per_layer(self, name: str, count: int, default: list[int] | None) -> list[int]:
        """A member that is one number, or one a layer."""
        each = self._header.arrays.get(f"{self._architecture}.{name}")
        if each is None and self._value(name) is None and default is not None:
            return default
        if each is None:
            return [self._number(name, 0)] * count
        if len(each) < count:
            raise self._bad(f"has {len(each)} values of {name!r} for {count} layers")
        return [self._checked(name, value, 0, _MAX_LENGTH) for value in each[:count]]

    def _keeps_something_else(self) -> bool:
        heads = tuple(f"{self._architecture}.{name}" for name in _OTHER_CACHES)
        extra = self._value("nextn_predict_layers") or self._value("attention.causal") is False
        return bool(extra) or any(
            key.startswith(heads) for key in (*self._header.values, *self._header.lengths)
        )

    def _bytes_by_part(self, layers: int) -> tuple[int, tuple[int, ...], int]:
        """Bytes of the tensors before, in each of and behind the layers."""
        head, each, tail = 0, [0] * layers, 0
        for tensor in self._header.tensors:
            found = _LAYER.match(tensor.name)
            if found is not None and int(found[1]) < layers:
                each[int(found[1])] += tensor.bytes
            elif tensor.name.startswith(_INPUT):
                head += tensor.bytes
            else:
                tail += tensor.bytes
        return head, tuple(each), tail

    def _tied_bytes(self) -> int:
        sizes = {tensor.name: tensor.bytes for tensor in self._header.tensors}
        return 0 if _OUTPUT in sizes else sizes.get(_EMBEDDING, 0)

    def _dtype(self) -> str:
        sizes: Counter[str] = Counter()
        for tensor in self._header.tensors:
            sizes[tensor.type] += tensor.bytes
        return sizes.most_common(1)[0][0]

    def _number(self, name: str, least: int, most: int = _MAX_LENGTH) -> int:
        return self._checked(name, self._value(name), least, most)

    def _checked(self, name: str, value: Scalar | None, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._bad(
                f"says {self._architecture}.{name} = {value!r}, and a whole number from {least} to "
                f"{most} is needed"
            )
        return value

    def _value(self, name: str) -> Scalar | None:
        return self._header.values.get(f"{self._architecture}.{name}")

    def _bad(self, why: str) -> Exception:
        return ModelFileError(
            f"{self._path} {why}.",
            hint="Take a GGUF file of a language model that llama.cpp knows.",
        )
