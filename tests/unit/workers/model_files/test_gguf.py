"""Headers of GGUF files, sound and hostile."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import gguf as reference
import ggufs
import pytest

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.model_files import ggml, gguf

U32, STRING, ARRAY, U64 = 4, 8, 9, 10
MAGIC = b"GGUF" + struct.pack("<I", 3)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def member(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(
    name: str = "t", shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0
) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


def header(
    members: list[bytes] | None = None,
    tensors: list[bytes] | None = None,
    counts: tuple[int, int] | None = None,
    data: int = 128,
) -> bytes:
    """A file of so many bytes of data behind its header."""
    members, tensors = members or [], [tensor()] if tensors is None else tensors
    number = counts or (len(tensors), len(members))
    head = MAGIC + struct.pack("<QQ", *number) + b"".join([*members, *tensors])
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + bytes(data)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "file.gguf"
        path.write_bytes(content)
        return path

    return write


def test_it_reads_what_the_reference_reads(tmp_path: Path) -> None:
    path = ggufs.make_llm(tmp_path / "model.gguf", ggufs.Shape(weights="Q8_0"))
    ours, theirs = gguf.read(path), reference.GGUFReader(path)
    assert [(t.name, t.shape, t.offset, t.bytes) for t in ours.tensors] == [
        (t.name, tuple(t.shape), t.data_offset, t.n_bytes) for t in theirs.tensors
    ]
    assert ours.values["general.architecture"] == "llama"
    assert ours.values["llama.block_count"] == 2
    assert ours.lengths["tokenizer.ggml.tokens"] == 512
    assert ours.arrays["tokenizer.ggml.tokens"][ord("a")] == "a"
    assert ours.file_bytes == path.stat().st_size


def test_types_are_those_of_the_reference() -> None:
    theirs = {
        int(kind): (kind.name.lower(), *sizes)
        for kind, sizes in reference.GGML_QUANT_SIZES.items()
        # Its size is that of an older ggml; no file has it.
        if kind.name != "Q8_1"
    }
    ours = {
        number: (kind.name.lower(), kind.block, kind.bytes) for number, kind in ggml.TYPES.items()
    }
    assert theirs.items() <= ours.items()


def test_a_small_header_by_hand(written: Callable[[bytes], Path]) -> None:
    members = [
        member("a", U32, struct.pack("<I", 7)),
        member("b", STRING, text("words")),
        member("c", ARRAY, struct.pack("<IQ3I", U32, 3, 1, 2, 3)),
        member("d", ARRAY, struct.pack("<IQ", STRING, 2) + text("x") + text("y")),
    ]
    found = gguf.read(written(header(members)))
    assert found.values == {"a": 7, "b": "words"}
    assert found.arrays == {"c": (1, 2, 3), "d": ("x", "y")}
    assert found.tensors[0].bytes == 128


def test_of_long_arrays_only_the_length_is_kept(written: Callable[[bytes], Path]) -> None:
    many = gguf.MAX_KEPT + 1
    members = [
        member("numbers", ARRAY, struct.pack("<IQ", U32, many) + bytes(4 * many)),
        member("texts", ARRAY, struct.pack("<IQ", STRING, many) + text("ab") * many),
    ]
    found = gguf.read(written(header(members)))
    assert found.lengths == {"numbers": many, "texts": many}
    assert found.arrays == {}


HUGE = 1 << 62
HOSTILE = {
    "empty": (b"", "ends within its header"),
    "another format": (b"PK\3\4" + bytes(100), "does not begin with GGUF"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version is 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version is"),
    "tensors without end": (header(counts=(HUGE, 0)), f"claims {HUGE} tensors"),
    "keys without end": (header(counts=(1, HUGE)), f"claims {HUGE} metadata keys"),
    "a key without end": (header([struct.pack("<Q", HUGE)]), "a metadata key has"),
    "a text without end": (header([member("a", STRING, struct.pack("<Q", HUGE))]), "bytes, and"),
    "an array without end": (
        header([member("a", ARRAY, struct.pack("<IQ", U32, HUGE))]), "elements in 'a'",
    ),
    "an array longer than the file": (
        header([member("a", ARRAY, struct.pack("<IQ", U64, 3_000_000))]), "ends within",
    ),
    "texts longer than the file": (
        header([member("a", ARRAY, struct.pack("<IQQ", STRING, 1_000_000, 1 << 40))]), "header is",
    ),
    "an array of arrays": (
        header([member("a", ARRAY, struct.pack("<IQ", ARRAY, 1))]), "unknown type 9",
    ),
    "an unknown type of value": (header([member("a", 99, bytes(8))]), "unknown type 99"),
    "a key twice": (header([member("a", U32, bytes(4))] * 2), "there twice"),
    "a key without a name": (header([member("", U32, bytes(4))]), "is empty"),
    "an alignment of 3": (
        header([member("general.alignment", U32, struct.pack("<I", 3))]), "power of two",
    ),
    "an alignment in words": (header([member("general.alignment", STRING, text("32"))]), "power"),
    "a tensor of an unknown type": (header(tensors=[tensor(kind=77)]), "unknown type 77"),
    "a tensor of a removed type": (header(tensors=[tensor(kind=4)]), "unknown type 4"),
    "a tensor without dimensions": (header(tensors=[tensor(shape=())]), "0 dimensions"),
    "a tensor of five dimensions": (header(tensors=[tensor(shape=(1,) * 5)]), "5 dimensions"),
    "a tensor of nothing": (header(tensors=[tensor(shape=(0, HUGE))]), "without elements"),
    "a tensor that overflows": (header(tensors=[tensor(shape=(HUGE,) * 4)]), "ends at byte"),
    "half a block": (header(tensors=[tensor(shape=(33,), kind=8)]), "no whole blocks of q8_0"),
    "a tensor twice": (
        header(tensors=[tensor("t"), tensor("t", offset=128)], data=256), "'t' is there twice",
    ),
    "tensors that overlap": (
        header(tensors=[tensor("a"), tensor("b", offset=64)], data=256), "'b' lies at 64",
    ),
    "a hole between tensors": (
        header(tensors=[tensor("a"), tensor("b", offset=256)], data=512), "'b' lies at 256",
    ),
    "a tensor behind the end": (header(data=127), "and the file at"),
    "a long name": (header(tensors=[tensor("n" * 64)]), "64 bytes, and 63"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_wrong_is_said(what: str, written: Callable[[bytes], Path]) -> None:
    content, words = HOSTILE[what]
    path = written(content)
    began = time.process_time()
    with pytest.raises(ModelFileError) as caught:
        gguf.read(path)
    assert time.process_time() - began < 2.0
    assert words in caught.value.detail
    assert str(path) in caught.value.detail
    assert caught.value.hint


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = ggufs.make_llm(tmp_path / "model.gguf", ggufs.Shape(layers=1)).read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(200), *range(200, len(whole), 997), len(whole) - 40]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            gguf.read(cut)


def test_bytes_that_are_flipped_give_an_answer_or_an_error_of_ours(tmp_path: Path) -> None:
    whole = ggufs.make_llm(tmp_path / "model.gguf", ggufs.Shape(layers=1)).read_bytes()
    flipped = tmp_path / "flipped.gguf"
    refused = 0
    for place in range(1000):
        content = bytearray(whole[:])
        content[place] ^= 0xFF
        flipped.write_bytes(content)
        try:
            gguf.read(flipped)
        except ModelFileError:
            refused += 1
    assert refused > 100


def test_the_largest_header_that_is_let_in_takes_seconds_at_most(tmp_path: Path) -> None:
    """As many empty texts as are allowed: nothing takes longer a byte."""
    path = tmp_path / "large.gguf"
    array = struct.pack("<IQ", STRING, gguf.MAX_ELEMENTS) + bytes(8 * gguf.MAX_ELEMENTS)
    path.write_bytes(header([member("a", ARRAY, array)]))
    began = time.process_time()
    assert gguf.read(path).lengths == {"a": gguf.MAX_ELEMENTS}
    assert time.process_time() - began < 30.0


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ModelFileError, match="is not a file"):
        gguf.read(path)
