import json
import os
from pathlib import Path

import pytest
import torch
from models import make_sd
from safetensors.torch import save_file

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import loading, weights


def written(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)
    return path


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_bytes_are_those_of_the_loaded_model(dtype, tmp_path: Path) -> None:
    make_sd(tmp_path)
    pipeline = loading.load(tmp_path, torch.device("cpu"), getattr(torch, dtype))
    for name, size in weights.of_folder(tmp_path, dtype).items():
        parameters = getattr(pipeline, name).parameters()
        assert size == sum(each.numel() * each.element_size() for each in parameters), name


def test_a_variant_counts_once_and_whole_numbers_keep_their_size(tmp_path: Path) -> None:
    part = tmp_path / "unet"
    part.mkdir()
    for name in ("model.safetensors", "model.fp16.safetensors"):
        tensors = {"w": torch.zeros(10), "ids": torch.zeros(3, dtype=torch.int64)}
        save_file(tensors, part / name)
    assert weights.of_folder(tmp_path, "float16") == {"unet": 20 + 24}
    (part / "model.safetensors").unlink()
    assert weights.of_folder(tmp_path, "float16") == {"unet": 20 + 24}


def test_what_stays_in_float32_counts_as_such(tmp_path: Path) -> None:
    (tmp_path / "text_encoder_3").mkdir()
    file = tmp_path / "text_encoder_3" / "model.safetensors"
    save_file({"a.wo.weight": torch.zeros(4), "a.wi.weight": torch.zeros(4)}, file)
    assert weights.of_folder(tmp_path, "float16", kept={"text_encoder_3": ("wo",)}) == {
        "text_encoder_3": 16 + 8
    }


@pytest.mark.fault("a safetensors header that lies", "a clear error, nothing parsed beyond bounds")
@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        ({"w": entry()}, b"1234567", None, "end at byte 8 of 7"),
        ({"w": entry()}, b"", 1 << 60, "the file is shorter"),
        ({"w": entry("F33")}, b"12345678", None, "number format"),
        ({"w": entry(["F32"])}, b"12345678", None, "number format"),
        ({"w": entry(shape=(-2,))}, b"12345678", None, "no shape"),
        ({"w": entry(shape=[True, 2])}, b"12345678", None, "no shape"),
        ({"w": entry(shape=[1] * 9)}, b"12345678", None, "no shape"),
        ({"w": entry(offsets=(0, 4))}, b"12345678", None, "size of its shape"),
        ({"w": entry(), "v": entry()}, b"12345678", None, "overlaps"),
        ({"w": entry(offsets=(4, 12))}, b"1234" * 3, None, "gap"),
        (b'{"w": 1, "w": 2}', b"", None, "twice"),
        (b"[" * 100_000, b"", None, "damaged"),
        (b"[]", b"", None, "no JSON object"),
        (b"\xff\xfe", b"", None, "damaged"),
    ],
)
def test_a_header_that_lies_is_refused(header, data, length, message, tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", header, data, length)
    with pytest.raises(ModelFileError, match=message):
        weights.read_header(path)


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", b"", length=1 << 30)
    os.truncate(path, 2 << 30)
    with pytest.raises(ModelFileError, match="more than 16,777,216 bytes"):
        weights.read_header(path)


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match="not a regular file"):
        weights.read_header(tmp_path / "x.safetensors")
