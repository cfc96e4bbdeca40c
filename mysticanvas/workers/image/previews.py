"""What a picture looks like before it is done: a linear map from latents to colours.

Decoding takes as long as several steps; a matrix of (channels + 1) x 3 takes next to nothing and
is right about what is where. It is fitted once for each VAE, by least squares.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch.nn import functional

from mysticanvas import logs
from mysticanvas.workers import pictures
from mysticanvas.workers.image import devices

Decode = Callable[[torch.Tensor], torch.Tensor | None]

_SAMPLES = 16
_COARSE, _FINE = 4, 8

_log = logs.get(__name__)


class Previewer:
    """Makes the previews of one loaded model; the map is fitted when it is first wanted."""

    def __init__(self, decode: Decode) -> None:
        self._decode: Decode | None = decode
        self._projection: Projection | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether no decode is needed any more."""
        return self._projection is not None

    def webp(self, latents: torch.Tensor, index: int) -> str | None:
        """Picture `index` of the latents (batch first), base64; None if there are no previews for
        this model."""
        if self._projection is None and self._decode is not None:
            self._projection = self._fit(self._decode, latents)
        if self._projection is None:
            return None
        return pictures.encode_webp(self._projection.picture(latents[index]))

    def _fit(self, decode: Decode, latents: torch.Tensor) -> Projection | None:
        self._decode = None
        try:
            return Projection.fit(decode, latents)
        except RuntimeError as error:
            if devices.lost(error):
                raise
            # A preview is no reason to lose a job, even where the decode runs out of memory.
            _log.warning("no_previews", exc_info=True)
            return None


class Projection:
    """The map of one VAE, from latents to colours from 0 to 1."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix

    @classmethod
    def fit(cls, decode: Decode, like: torch.Tensor) -> Projection | None:
        """Fit it to smooth random latents and what they decode to; None if there is no decoder.

        Args:
            like: latents of the model, for their channels, device and dtype.
        """
        # A generator of its own: the pictures' random numbers are not touched.
        coarse = torch.randn(
            (_SAMPLES, like.shape[1], _COARSE, _COARSE), generator=torch.Generator().manual_seed(0)
        )
        latents = functional.interpolate(coarse, size=(_FINE, _FINE), mode="bilinear")
        pixels = decode(latents.to(like.device, like.dtype))
        if pixels is None:
            return None
        colours = functional.interpolate(pixels.float(), size=(_FINE, _FINE), mode="area")
        features = _with_ones(_as_points(latents))
        targets = _as_points(colours.cpu()) / 2 + 0.5
        return cls(torch.linalg.lstsq(features, targets).solution)

    def picture(self, latents: torch.Tensor) -> Image.Image:
        """One picture's latents (channels, height, width), noise and all, as a small picture."""
        noisy = latents.detach().float().cpu()
        # Some schedulers carry noise far above unit variance in the early steps.
        noisy = noisy / noisy.std().clamp(min=1.0)
        colours = _with_ones(_as_points(noisy[None])) @ self.matrix
        levels = (colours.clamp(0, 1) * 255).round().to(torch.uint8)
        return Image.fromarray(levels.view(*latents.shape[1:], 3).numpy())


def _as_points(grid: torch.Tensor) -> torch.Tensor:
    """(batch, channels, height, width) -> (points, channels)."""
    return grid.permute(0, 2, 3, 1).flatten(0, 2)


def _with_ones(points: torch.Tensor) -> torch.Tensor:
    return torch.cat([points, torch.ones(len(points), 1)], dim=1)
