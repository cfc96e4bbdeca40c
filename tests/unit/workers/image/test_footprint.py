"""What is followed of real tensors, against the allocator of the same runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from architectures import profiled_peak, real
from torch.nn import functional

from mysticanvas.contracts.conditioning import Encoder
from mysticanvas.contracts.tracing import Shape
from mysticanvas.workers.image import architectures
from mysticanvas.workers.image.footprint import Footprint

FLOAT = 4


def followed(work: Callable[[], Any], weights: Any = (), held: Any = ()) -> int:
    footprint = Footprint("float32", weights, torch.get_num_threads())
    footprint.hold(held)
    with torch.inference_mode(), footprint:
        # Kept to the end, as the allocator's peak has it.
        _out = work()
    footprint.close()
    return footprint.peak


@pytest.mark.parametrize(
    ("name", "call", "shape"),
    [
        ("unet", architectures.denoise, Shape(batch=1, width=32, height=32, tokens=77)),
        ("wide unet", architectures.denoise, Shape(batch=2, width=40, height=48, tokens=50)),
        ("vae", architectures.decode_picture, Shape(batch=1, width=40, height=24)),
        ("vae", architectures.decode_picture, Shape(batch=2, width=32, height=32)),
        ("text encoder", architectures.encode_text, Shape(width=60)),
    ],
)
def test_a_model_takes_what_the_allocator_gave(name: str, call: Any, shape: Shape) -> None:
    model = real(name)
    given = {"encoder": Encoder(77, hidden_states=False)} if name == "text encoder" else {}
    weights = [*model.model.parameters(), *model.model.buffers()]
    taken = followed(lambda: call(model, shape, **given), weights)
    assert taken == pytest.approx(profiled_peak(lambda: call(model, shape, **given)), rel=0.001)


def test_what_it_computes_is_the_same_to_the_bit() -> None:
    model, shape = real("wide unet"), Shape(batch=2, width=16, height=16, tokens=77)
    made: list[torch.Tensor] = []
    with torch.inference_mode():
        plain = architectures.denoise(model, shape)
    followed(lambda: made.append(architectures.denoise(model, shape)[0]))
    assert torch.equal(made[0], plain[0])


def test_a_tensor_that_was_there_before_counts_once_it_is_read_and_weights_never() -> None:
    before, weight = torch.ones(1000), torch.ones(1000)
    assert followed(lambda: before + weight, [weight]) == 2 * 1000 * FLOAT
    assert followed(lambda: torch.zeros(10)) == 10 * FLOAT
    assert followed(lambda: torch.zeros(10), held=[before]) == 1010 * FLOAT


def test_operations_that_come_in_whole_show_what_they_make_on_the_way() -> None:
    """In inference mode attention is one operation, which makes two tensors."""
    query = torch.ones(1, 1, 64, 8)

    def attend() -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, query, query)

    assert followed(attend) == pytest.approx(profiled_peak(attend) + query.nbytes, rel=0.001)


def test_what_dies_is_counted_no_more() -> None:
    def chain() -> torch.Tensor:
        value = torch.ones(1000)
        for _ in range(10):
            value = value + 1
        return value

    assert followed(chain) == 2 * 1000 * FLOAT


def test_a_weight_that_is_moved_is_one_all_the_same() -> None:
    weight = torch.ones(1000)
    # To PyTorch, a device with a number is another one.
    elsewhere = torch.device("cpu", 0)

    def work() -> torch.Tensor:
        moved = weight.to(elsewhere)
        assert moved.data_ptr() != weight.data_ptr()
        used = moved + 1
        del moved
        # In its place, perhaps.
        return used + torch.ones(1000)

    assert followed(work, [weight]) == 3 * 1000 * FLOAT
    assert followed(lambda: weight.to(torch.float64), [weight]) == 1000 * 2 * FLOAT


def test_a_parameter_is_a_weight_wherever_it_was_moved_to() -> None:
    weight = torch.nn.Parameter(torch.ones(1000), requires_grad=False)
    assert followed(lambda: weight + 1) == 1000 * FLOAT
