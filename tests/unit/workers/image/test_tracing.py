"""Traces against the allocator of real runs, and envelopes against fresh traces.

Neither the sizes nor the batches of several that are compared are those that were fitted.
"""

import pytest
import torch
from architectures import SMALL, fitted, operations, profiled_peak, real, traced

from mysticanvas.contracts.conditioning import Encoder
from mysticanvas.contracts.tracing import BatchClass, Phase, Shape
from mysticanvas.vram import envelope
from mysticanvas.workers.image import architectures, profiling
from mysticanvas.workers.image.components import Part

TOKENS = 77


def part(name: str) -> Part:
    library, kind, config = SMALL[name]
    return Part(name.split()[-1], library, kind, config)


def batches(of: BatchClass) -> tuple[int, ...]:
    """None of those that several items are fitted from."""
    found = (1,) if of == "one" else (4, 5)
    assert not set(found) & set(profiling._BATCHES)
    return found


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
    ("name", "of"), [("unet", "one"), ("wide unet", "one"), ("wide unet", "more")]
)
def test_a_unet_takes_what_was_predicted(name: str, of: BatchClass) -> None:
    fit = profiling._denoise_run(part(name), of).shapes
    held_out = [
        Shape(batch=batch, width=width, height=height, tokens=tokens)
        for batch in batches(of)
        for width, height, tokens in ((32, 32, TOKENS), (40, 48, 50))
    ]
    compare(name, architectures.denoise, fit, held_out)


@pytest.mark.parametrize("of", ["one", "more"])
@pytest.mark.parametrize("phase", ["vae_encode", "vae_decode"])
def test_an_autoencoder_takes_what_was_predicted(phase: Phase, of: BatchClass) -> None:
    call = {
        "vae_encode": architectures.encode_picture,
        "vae_decode": architectures.decode_picture,
    }[phase]
    held_out = [
        Shape(batch=batch, width=width, height=height)
        for batch in batches(of)
        for width, height in ((32, 32), (40, 24))
    ]
    compare("vae", call, profiling._latent_shapes(part("vae"), phase, of), held_out)


@pytest.mark.parametrize("hidden_states", [True, False])
def test_a_text_encoder_takes_what_was_predicted(hidden_states: bool) -> None:
    def call(tracee, shape):
        encoder = Encoder(77, hidden_states=hidden_states)
        return architectures.encode_text(tracee, shape, encoder=encoder)

    fit = [Shape(width=each) for each in (9, 25, 77)]
    compare("text encoder", call, fit, [Shape(width=40), Shape(width=60)])
