import time

import pytest

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.tracing import (
    Envelope,
    EnvelopeKey,
    ImageProfile,
    LatentSpace,
    Row,
    Traced,
)
from mysticanvas.vram import image
from mysticanvas.vram.image import Surroundings

MIB = 1 << 20
NOTHING = (0.0,) * 6
AROUND = Surroundings(context_bytes=100 * MIB, context_known="measured")


def traced(phase, batch, *, per_pixel: float = 0.0, workspace: float = 0.0) -> Traced:
    key = EnvelopeKey(
        phase=phase, architecture="Model", config="0" * 64, device="cpu", dtype="float32",
        attention="flash", batch=batch, versions={},
    )  # fmt: skip
    row = Row(
        live=(0.0, 0.0, 0.0, 0.0, per_pixel, 0.0), workspace=(workspace, 0.0, 0.0, 0.0, 0.0, 0.0)
    )
    return Traced(key=key, component="model", envelope=Envelope(rows=(row,)))


def profile(**changes) -> ImageProfile:
    given = {
        "dtype": "float32",
        "device": "cpu",
        "weights": {"unet": 400 * MIB, "vae": 50 * MIB},
        "latents": LatentSpace(factor=8, channels=4, embedding=64),
        "traced": (
            traced("text_encode", "one", per_pixel=1000),
            traced("denoise", "one", per_pixel=10_000),
            traced("denoise", "more", per_pixel=10_000),
            traced("vae_encode", "one", per_pixel=90_000),
            traced("vae_decode", "one", per_pixel=50_000, workspace=3 * MIB),
            traced("vae_decode", "more", per_pixel=50_000),
        ),
    }
    return ImageProfile(**given | changes)


def predicted(around=AROUND, of=None, factors=None, **work):
    return image.predict(of or profile(), ImageWork(width=512, height=256, **work), around, factors)


def test_the_total_is_the_sum_of_its_terms_and_each_says_how_it_is_known() -> None:
    found = predicted()
    assert found.total_mib == pytest.approx(sum(term.mib for term in found.terms))
    known = {term.name: (term.mib, term.known) for term in found.terms}
    assert known["context"] == (100, "measured")
    assert known["weights.unet"] == (400, "exact")
    assert known["activations.vae_decode"] == (pytest.approx(50_000 * 2048 / MIB), "traced")
    assert known["workspace.vae_decode"] == (3, "probed")
    assert known["safety"][1] == "assumed"


def test_the_phase_with_the_peak_is_the_one_that_counts() -> None:
    assert predicted().phase == "vae_decode"
    assert predicted(init_image=True).phase == "vae_encode"
    assert set(predicted().phases_mib) == {"text_encode", "denoise", "vae_decode"}


def test_of_several_text_encoders_the_one_that_takes_most_is_the_phase() -> None:
    small, large = (traced("text_encode", "one", per_pixel=n) for n in (1000, 90_000))
    others = profile().traced[1:]
    alone = predicted(of=profile(traced=(large, *others))).phases_mib["text_encode"]
    for encoders in ((small, large), (large, small)):
        found = predicted(of=profile(traced=(*encoders, *others)))
        # The embeddings of the other are held meanwhile.
        assert found.phases_mib["text_encode"] == pytest.approx(alone, rel=0.01)


def test_guidance_doubles_the_denoisers_batch_and_nothing_else() -> None:
    guided, alone = predicted(), predicted(guided=False)
    assert guided.phases_mib["denoise"] > 1.9 * alone.phases_mib["denoise"]
    assert guided.phases_mib["vae_decode"] == pytest.approx(
        alone.phases_mib["vae_decode"], rel=0.001
    )


@pytest.mark.parametrize(
    "more", [{"num_images": 2}, {"tokens": 154}, {"lora_bytes": MIB}, {"init_image": True},
             {"init_image": True, "mask": True}],
)  # fmt: skip
def test_whatever_is_added_takes_more(more) -> None:
    less = {"init_image": True} if "mask" in more else {}
    assert predicted(**more).total_mib > predicted(**less).total_mib


def test_a_converted_autoencoder_takes_its_weights_twice_while_it_decodes() -> None:
    found = predicted(of=profile(decoding_weights=50 * MIB))
    assert found.total_mib == pytest.approx(predicted().total_mib + 50)


def test_a_correction_changes_its_phase() -> None:
    corrected = predicted(factors={"vae_decode": 1.1, "denoise": 1.0})
    before = predicted()
    assert corrected.phases_mib["denoise"] == before.phases_mib["denoise"]
    assert corrected.phases_mib["vae_decode"] == pytest.approx(
        before.phases_mib["vae_decode"] * 1.1, rel=0.01
    )


def test_an_envelope_that_is_missing_is_an_error() -> None:
    with pytest.raises(LookupError, match="denoise for a batch of more"):
        predicted(of=profile(traced=(traced("denoise", "one"),)))


def test_a_prediction_takes_less_than_a_millisecond() -> None:
    of = profile()
    times = []
    for _ in range(50):
        began = time.perf_counter()
        predicted(of=of)
        times.append(time.perf_counter() - began)
    # The quickest: others may have the processor meanwhile.
    assert min(times) < 1e-3


def test_slices_and_tiles_make_decoding_smaller_and_a_batch_larger() -> None:
    whole = predicted(num_images=2).phases_mib["vae_decode"]
    sliced = predicted(num_images=2, sliced=True).phases_mib["vae_decode"]
    tiled = predicted(num_images=2, sliced=True, tile_px=128).phases_mib["vae_decode"]
    one = predicted().phases_mib["vae_decode"]
    assert tiled < sliced < whole
    # The picture that is there already, and the latents and embeddings of both.
    assert sliced == pytest.approx(one + 512 * 256 * 3 * 4 / MIB, rel=0.01)


def test_a_tile_as_large_as_the_picture_changes_nothing() -> None:
    assert predicted(tile_px=512).phases_mib == predicted().phases_mib


def test_decoding_on_the_cpu_takes_nothing_of_the_device() -> None:
    beside = predicted(decode_on_cpu=True, of=profile(decoding_weights=50 * MIB))
    assert set(beside.phases_mib) == {"text_encode", "denoise"}
    assert beside.phase == "denoise"
    assert beside.total_mib < predicted().total_mib


def test_weights_that_are_pinned_take_more_of_system_memory() -> None:
    unet = traced("denoise", "one", per_pixel=10_000).model_copy(update={"component": "unet"})
    model = profile(traced=(unet,), device="cuda")
    taken = {
        kind: image.beside(model, ImageWork(width=512, height=256), 1, kind)
        for kind in ("offload_model", "offload_group", "offload_sequential")
    }
    assert {kind: (term.mib, term.known) for kind, [term] in taken.items()} == {
        "offload_model": (450, "exact"),
        "offload_group": (450 + 400 / 32 + 512, "assumed"),
        "offload_sequential": (450, "exact"),
    }


def test_a_text_encoder_is_predicted_by_the_tokens_that_it_gets() -> None:
    usual, *others = profile().traced
    key = usual.key.model_copy(update={"architecture": "Qwen3Model"})
    of = profile(pipeline="ZImagePipeline", traced=(usual.model_copy(update={"key": key}), *others))
    short, long = (predicted(of=of, tokens=n, negative=False).phases_mib for n in (20, 500))
    assert short["text_encode"] == long["text_encode"] == pytest.approx(512_000 / MIB)


def test_what_is_encoded_in_the_call_that_denoises_is_gone_with_it() -> None:
    apart, at_once = (
        predicted(of=profile(pipeline=name), tokens=333).phases_mib
        for name in ("FluxPipeline", "StableDiffusion3Pipeline")
    )
    sides = 2 * 333 * 64 * 4 / MIB
    assert apart["vae_decode"] - at_once["vae_decode"] == pytest.approx(sides)
    # Of two pairs beside what the denoiser gets, the negative one is left.
    assert apart["denoise"] - at_once["denoise"] == pytest.approx(1.5 * sides)
