import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.torch import save_file

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.model_files import safetensors
from mysticanvas.workers.model_files.safetensors import Tensor


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def write(path: Path, header: object, data: bytes = bytes(8)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_the_header_of_a_real_file(tmp_path: Path) -> None:
    tensors = {
        "a": torch.zeros(2, 3),
        "b": torch.zeros(4, dtype=torch.bfloat16),
        "c": torch.zeros(0, 7, dtype=torch.int64),
        "d": torch.zeros((), dtype=torch.float8_e4m3fn),
    }
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, {"format": "pt"})
    header = safetensors.validate(path)
    assert header.metadata == {"format": "pt"}
    assert header.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert {tensor.dtype for tensor in header.tensors.values()} == {"F32", "BF16", "I64", "F8_E4M3"}
    assert header.tensors["a"].numbers == 6


def test_the_models_that_ship_and_those_of_the_tests_are_valid(tiny_sdxl: Path) -> None:
    paths = [*tiny_sdxl.rglob("*.safetensors")]
    assert len(paths) == 4
    for path in paths:
        assert safetensors.validate(path).tensors


def test_a_blank_at_the_end_of_the_header_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "a", json.dumps({"a": entry()}).encode() + b"   ")
    assert safetensors.validate(path).tensors == {"a": Tensor("F32", (2,), 0, 8)}


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        (b'{"a":' * 50_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a": 1' + b"0" * 5_000 + b"}", "no JSON"),
        (b'{"a": {}, "a": {}}', "comes twice"),
        ({"a": 3}, "is not dtype, shape"),
        ({"a": {"dtype": "F32"}}, "is not dtype, shape"),
        ({"a": entry() | {"code": "x"}}, "is not dtype, shape"),
        ({"a": entry("F33")}, "unknown number format 'F33'"),
        ({"a": entry(7)}, "unknown number format"),
        ({"a": entry(["F32"])}, "unknown number format"),
        ({"a": entry(shape=[2.0])}, "no shape"),
        ({"a": entry(shape=[True, 2])}, "no shape"),
        ({"a": entry(shape=[-2])}, "no shape"),
        ({"a": entry(shape=[2**64])}, "no shape"),
        ({"a": entry(shape=[1] * 17)}, "no shape"),
        ({"a": entry(shape="2")}, "no shape"),
        ({"a": entry(offsets=[0])}, "no two offsets"),
        ({"a": entry(offsets=[0, -8])}, "no two offsets"),
        ({"a": entry(offsets=[8, 0])}, "do not fit"),
        ({"a": entry("F16")}, "do not fit"),
        ({"a": entry(shape=[2**62, 2**62])}, "do not fit"),
        ({"a": entry(offsets=[8, 16])}, "leaves a hole"),
        ({"a": entry(), "b": entry()}, "overlaps"),
        ({"a": entry(), "b": entry(offsets=[4, 12])}, "overlaps"),
        ({"a": entry(), "b": entry(offsets=[8, 16])}, "take 16 bytes, and it has 8"),
        ({"a": entry("U8", [4], [0, 4])}, "take 4 bytes, and it has 8"),
        ({"__metadata__": {"a": 1}, "a": entry()}, "no mapping of text to text"),
        ({"__metadata__": "x", "a": entry()}, "no mapping of text to text"),
    ],
)
def test_a_damaged_or_hostile_header_is_refused(tmp_path: Path, header: object, what: str) -> None:
    path = write(tmp_path / "bad.safetensors", header)
    with pytest.raises(ModelFileError, match=rf"bad\.safetensors is damaged.*{what}"):
        safetensors.validate(path)


@pytest.mark.parametrize("head", [b"", b"\x08", struct.pack("<Q", 9), struct.pack("<Q", 2**63)])
def test_a_header_that_is_not_there_is_refused(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a").write_bytes(head)
    with pytest.raises(ModelFileError, match="damaged or cut off"):
        safetensors.validate(tmp_path / "a")


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 40 << 30))
        file.truncate(50 << 30)
    began = time.process_time()
    with pytest.raises(ModelFileError, match="header takes"):
        safetensors.validate(path)
    assert time.process_time() - began < 0.5


def test_the_largest_header_takes_seconds_at_most(tmp_path: Path) -> None:
    text = b"{" + b",".join(b'"%d":{}' % number for number in range(1_000_000)) + b"}"
    assert len(text) < safetensors.MAX_HEADER_BYTES
    path = write(tmp_path / "a", text)
    # Of the processor: others may have it meanwhile.
    began = time.process_time()
    with pytest.raises(ModelFileError, match="1,000,000 tensors"):
        safetensors.validate(path)
    assert time.process_time() - began < 30


def test_a_pipe_is_no_model_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match="no regular file"):
        safetensors.validate(tmp_path / "x.safetensors")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        safetensors.validate(tmp_path / "a")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 255))))
def test_whatever_is_cut_or_flipped_gives_one_kind_of_error(
    tmp_path: Path, cut: int, flips: list[tuple[int, int]]
) -> None:
    """What passes has every tensor within the file."""
    header = {"a": entry(), "b": entry("U8", [4], [8, 12])}
    data = bytearray(write(tmp_path / "a", header, bytes(12)).read_bytes())
    for place, mask in flips:
        data[place % len(data)] ^= mask
    (tmp_path / "a").write_bytes(data[:cut] if cut < len(data) else data)
    try:
        header = safetensors.validate(tmp_path / "a")
    except ModelFileError:
        return
    assert all(0 <= t.start <= t.end <= len(data) for t in header.tensors.values())
