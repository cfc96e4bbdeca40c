import base64
import io

import pytest
import torch
from PIL import Image
from torch.nn import functional

from mysticanvas.workers import pictures
from mysticanvas.workers.image import previews


def linear_decoder(matrix: torch.Tensor) -> previews.Decode:
    """A decoder by a factor of 2 that is linear, so the fit must find its matrix."""

    def decode(latents: torch.Tensor) -> torch.Tensor:
        ones = torch.ones_like(latents[:, :1])
        colours = torch.einsum("bchw,cr->brhw", torch.cat([latents, ones], 1), matrix)
        return functional.interpolate(colours, scale_factor=2.0, mode="nearest")

    return decode


def test_the_fit_finds_a_linear_decoder() -> None:
    matrix = torch.randn(5, 3, generator=torch.Generator().manual_seed(3))
    found = previews.Projection.fit(linear_decoder(matrix), torch.zeros(1, 4, 8, 8))
    assert found is not None
    expected = matrix / 2
    expected[-1] += 0.5  # colours from -1..1 to 0..1
    torch.testing.assert_close(found.matrix, expected, atol=1e-4, rtol=1e-4)


def test_a_preview_has_the_latents_size_and_shows_where_things_are() -> None:
    channels = torch.zeros(5, 3)
    channels[0, 0] = 1.0  # the first channel is red
    latents = torch.zeros(4, 6, 10)
    latents[0, :, :5] = 1.0
    picture = previews.Projection(channels).picture(latents)
    assert picture.size == (10, 6)
    assert (picture.getpixel((0, 0)), picture.getpixel((9, 5))) == ((255, 0, 0), (0, 0, 0))


def test_the_noise_of_a_large_sigma_does_not_saturate() -> None:
    latents = torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0)) * 14
    matrix = torch.cat([torch.full((4, 3), 0.1), torch.full((1, 3), 0.5)])
    extremes = previews.Projection(matrix).picture(latents).convert("L").histogram()
    assert extremes[0] + extremes[255] < 32 * 32 * 0.05


def test_a_webp_is_small_and_whole() -> None:
    text = pictures.encode_webp(Image.linear_gradient("L").resize((16, 16)).convert("RGB"))
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert (image.format, image.size) == ("WEBP", (16, 16))
    assert len(text) < 1000


def test_the_map_is_fitted_once() -> None:
    calls = 0
    decode = linear_decoder(torch.ones(5, 3))

    def counting(latents: torch.Tensor) -> torch.Tensor | None:
        nonlocal calls
        calls += 1
        return decode(latents)

    previewer = previews.Previewer(counting)
    assert calls == 0
    for index in (0, 1):
        assert previewer.webp(torch.zeros(2, 4, 8, 8), index) is not None
    assert calls == 1


@pytest.mark.parametrize("failure", [RuntimeError("out of memory"), None])
def test_a_model_without_previews_is_asked_once(failure: RuntimeError | None) -> None:
    calls = 0

    def decode(_: torch.Tensor) -> None:
        nonlocal calls
        calls += 1
        if failure is not None:
            raise failure

    previewer = previews.Previewer(decode)
    assert [previewer.webp(torch.zeros(1, 4, 8, 8), 0) for _ in range(2)] == [None, None]
    assert calls == 1


def test_the_fit_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    previews.Projection.fit(linear_decoder(torch.ones(5, 3)), torch.zeros(1, 4, 8, 8))
    assert torch.equal(torch.rand(3), expected)


def test_a_lost_device_is_told_where_a_map_is_fitted() -> None:
    def fail(_: torch.Tensor) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        previews.Previewer(fail).webp(torch.zeros(1, 4, 8, 8), 0)
