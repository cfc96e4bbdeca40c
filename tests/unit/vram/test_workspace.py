import pytest

from mysticanvas.vram import workspace
from mysticanvas.vram.workspace import Convolution

OF = Convolution(
    batch=2, given=3200, weight=640, made=6400, channels=(32, 64), kernel=9,
    layout="channels_first",
)  # fmt: skip


@pytest.mark.parametrize(
    ("device", "dtype", "of", "bytes_"),
    [
        ("cuda", "float16", OF, (3200 + 6400 + 640,)),
        ("cuda", "float32", OF, (3200 + 6400 + 640,)),
        ("cuda", "float16", OF._replace(layout="channels_last"), (640,)),
        ("cpu", "float32", OF, (3200 + 640, 6400)),
        ("cpu", "float32", OF._replace(layout="scattered"), (3200 + 3200 + 640, 3200 + 6400)),
        ("cpu", "float32", OF._replace(layout="channels_last"), (2 * 640,)),
        ("cpu", "float32", OF._replace(layout="channels_last", kernel=1), (640,)),
        ("mps", "float16", OF, (3200 + 6400 + 640,)),
    ],
)
def test_a_convolution_copies_its_operands(device, dtype, of, bytes_) -> None:
    assert workspace.convolution(device, dtype, of) == bytes_


def test_some_gpus_do_not_copy_the_input_of_float32() -> None:
    assert workspace.convolution("cuda", "float32", OF, copies_input=False) == (6400 + 640,)
    assert workspace.convolution("cuda", "float16", OF, copies_input=False) == (3200 + 6400 + 640,)


def test_channels_are_filled_up_to_blocks_on_a_cpu() -> None:
    of = OF._replace(made=300, channels=(32, 3), weight=384)
    assert workspace.convolution("cpu", "float32", of) == (3200 + 1024 + 800 - 300, 800)
    wide = of._replace(block=16)
    assert workspace.convolution("cpu", "float32", wide) == (3200 + 2048 + 1600 - 300, 1600)


def test_an_input_of_less_than_a_block_is_read_as_it_is_on_a_cpu() -> None:
    of = OF._replace(given=1200, made=300, channels=(12, 3), weight=144)
    assert workspace.convolution("cpu", "float32", of) == (1600 + 512 + 800 - 300, 800)
    assert workspace.convolution("cpu", "float32", of._replace(block=16)) == (768 + 1300, 1600)
