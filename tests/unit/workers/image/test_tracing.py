"""Traces against the allocator of real runs, and envelopes against fresh traces.

The shapes that are compared are none of those that were fitted.
"""

import pytest
import torch
from architectures import fitted, operations, profiled_peak, real, traced

from mysticanvas.contracts.tracing import Shape
from mysticanvas.vram import envelope
from mysticanvas.workers.image import architectures

TOKENS = 77


def shapes(sides, batch: int, tokens: int = 0) -> list[Shape]:
    made = [Shape(batch=batch, width=side, height=side, tokens=tokens) for side in sides]
    if batch > 1:
        made.append(made[0].model_copy(update={"batch": 3}))
    if tokens:
        made.append(made[0].model_copy(update={"tokens": 2 * tokens}))
    return made


def compare(name: str, call, fit: list[Shape], held_out: list[Shape]) -> None:
    tracee, model = traced(name), real(name)
    found = fitted(tracee, fit, call)
    for shape in held_out:
        predicted = envelope.peak(found, shape, torch.get_num_threads()).total
        fresh = max(each.live + each.workspace for each in operations(tracee, shape, call))
        assert predicted == pytest.approx(fresh, rel=1e-4)
        actual = profiled_peak(lambda shape=shape: call(model, shape))
        assert predicted == pytest.approx(actual, rel=0.001)


@pytest.mark.parametrize(
    ("name", "multiple", "batch"), [("unet", 8, 1), ("wide unet", 4, 1), ("wide unet", 4, 2)]
)
def test_a_unet_takes_what_was_predicted(name: str, multiple: int, batch: int) -> None:
    fit = shapes([2 * multiple, 5 * multiple, 11 * multiple], batch, TOKENS)
    held_out = [
        Shape(batch=batch, width=32, height=32, tokens=TOKENS),
        Shape(batch=batch, width=40, height=48, tokens=50),
    ]
    compare(name, architectures.denoise, fit, held_out)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_decoder_takes_what_was_predicted(batch: int) -> None:
    held_out = [Shape(batch=batch, width=32, height=32), Shape(batch=batch, width=40, height=24)]
    compare("vae", architectures.decode_picture, shapes((8, 20, 44), batch), held_out)


@pytest.mark.parametrize("batch", [1, 2])
def test_an_encoder_takes_what_was_predicted(batch: int) -> None:
    fit = [*shapes((8, 20, 44), batch), Shape(batch=batch, width=8, height=20)]
    held_out = [Shape(batch=batch, width=32, height=32), Shape(batch=batch, width=40, height=24)]
    compare("vae", architectures.encode_picture, fit, held_out)


@pytest.mark.parametrize("hidden_states", [True, False])
def test_a_text_encoder_takes_what_was_predicted(hidden_states: bool) -> None:
    def call(tracee, shape):
        return architectures.encode_text(tracee, shape, hidden_states=hidden_states)

    fit = [Shape(width=each) for each in (9, 25, 77)]
    compare("text encoder", call, fit, [Shape(width=40), Shape(width=60)])
