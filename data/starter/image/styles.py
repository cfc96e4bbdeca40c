"""Tells a picture's style by five statistics, each with one threshold set on drawn pictures only.

The statistics follow from what each style does to a picture:

* noir darkens the corners: `vignette`, corner brightness against that of the border beside it;
* neon glows in the dark: `glow`, on a dark background the half-lit pixels for each lit one;
* watercolor mottles the paper: `mottle`, the spread of the smoothed brightness along the border;
* striped repeats every eight rows: `stripes`, the power of that wave down the columns against its
  neighbours' power;
* outline leaves things empty: `filled`, the share of changed pixels between the first and last
  changed one of a column or row.

They are asked in that order, the first that passes its threshold names the style, and none is flat.
"""

from __future__ import annotations

from random import Random

import numpy as np
from draw import draw
from numpy.typing import NDArray
from world import STYLES, sample

Picture = NDArray[np.uint8]
ORDER = (
    ("noir", "vignette"),
    ("neon", "glow"),
    ("watercolor", "mottle"),
    ("striped", "stripes"),
    ("outline", "filled"),
)
DARK = 120  # a background whose brightest channel is above this cannot glow
BELOW = {"vignette", "filled"}  # statistics whose style lies below the threshold
Thresholds = dict[str, float]


def _brightness(picture: Picture) -> NDArray[np.float64]:
    brightness: NDArray[np.float64] = picture.astype(np.float64).max(axis=2)
    return brightness


def _smooth(values: NDArray[np.float64], width: int = 8) -> NDArray[np.float64]:
    return np.convolve(values, np.ones(width) / width, mode="valid")


def _borders(plane: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [plane[:4].mean(0), plane[-4:].mean(0), plane[:, :4].mean(1), plane[:, -4:].mean(1)]


def vignette(picture: Picture) -> float:
    ends = [end for b in _borders(_brightness(picture)) for end in (b, b[::-1])]
    corner = np.median([end[: len(end) // 20].mean() for end in ends])
    beside = np.median([np.median(end[len(end) // 8 : len(end) // 4]) for end in ends])
    return float((corner + 2) / (beside + 2))


def mottle(picture: Picture) -> float:
    plane = _brightness(picture)
    spreads = [_smooth(b).std() for b in _borders(plane)]
    return float(np.median(spreads) / (np.median(plane[:4]) + 20))


def stripes(picture: Picture) -> float:
    planes = picture.astype(np.float64)
    power = (np.abs(np.fft.rfft(planes, axis=0)) ** 2).sum(axis=(1, 2))
    k = round(planes.shape[0] / 8)
    around = np.median(power[[k - 4, k - 3, k - 2, k + 2, k + 3, k + 4]])
    return float(np.log((power[k] + 1e4) / (around + 1e4)))


def _change(picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each pixel is from the background, and the background's colour."""
    pixels = picture.astype(np.float64)
    edge = np.concatenate(
        [
            pixels[:4].reshape(-1, 3),
            pixels[-4:].reshape(-1, 3),
            pixels[:, :4].reshape(-1, 3),
            pixels[:, -4:].reshape(-1, 3),
        ]
    )
    background = np.median(edge, axis=0)
    change: NDArray[np.float64] = np.abs(pixels - background).max(axis=2)
    return change, background


def glow(picture: Picture) -> float:
    change, background = _change(picture)
    if background.max() > DARK:
        return 0.0
    share = change / np.quantile(change, 0.995)
    return float(((share > 0.08) & (share < 0.6)).sum() / ((share >= 0.6).sum() + 20))


def filled(picture: Picture) -> float:
    changed = _change(picture)[0] > 48

    def share(mask: NDArray[np.bool_]) -> float:
        between = np.maximum.accumulate(mask, 1) & np.maximum.accumulate(mask[:, ::-1], 1)[:, ::-1]
        return float(mask.sum() / max(1, between.sum()))

    return max(share(changed), share(changed.T))


STATISTICS = {
    "vignette": vignette,
    "mottle": mottle,
    "stripes": stripes,
    "glow": glow,
    "filled": filled,
}


def tell(picture: Picture, thresholds: Thresholds) -> str:
    for style, name in ORDER:
        value, limit = STATISTICS[name](picture), thresholds[name]
        if (value < limit) if name in BELOW else (value > limit):
            return style
    return "flat"


def _best_threshold(own: list[float], rest: list[float], below: bool) -> float:
    """The cut with the fewest mistakes, each side counted as a share; the middle of the best
    ones."""
    cuts = np.unique(np.quantile(own + rest, np.linspace(0, 1, 400)))
    sign = 1 if below else -1
    mistakes = [
        np.mean(sign * np.array(own) > sign * cut) + np.mean(sign * np.array(rest) <= sign * cut)
        for cut in cuts
    ]
    best = cuts[np.isclose(mistakes, np.min(mistakes))]
    middle = float((best.min() + best.max()) / 2)
    if np.min(mistakes) > 0:
        return middle
    # A clean gap: half way between the two sides.
    edge_own, edge_rest = (max(own), min(rest)) if below else (min(own), max(rest))
    return (edge_own + edge_rest) / 2


def fit(seed: int = 11, count: int = 1500) -> Thresholds:
    """Thresholds from freshly drawn training pictures; those an earlier question took are set
    aside."""
    rng = Random(seed)
    drawn = [(scene.style, draw(scene, rng)) for scene in (sample(rng, 0.5) for _ in range(count))]
    thresholds: Thresholds = {}
    for style, name in ORDER:
        values = [(own, STATISTICS[name](picture)) for own, picture in drawn]
        thresholds[name] = _best_threshold(
            [v for s, v in values if s == style],
            [v for s, v in values if s != style],
            name in BELOW,
        )
        drawn = [pair for pair in drawn if pair[0] != style]
    return thresholds


def accuracy(thresholds: Thresholds, seed: int = 12, count: int = 600) -> dict[str, float]:
    """On drawn pictures of kept-back combinations: the share told right, for each style."""
    rng = Random(seed)
    right: dict[str, list[bool]] = {style: [] for style in STYLES}
    for _ in range(count):
        scene = sample(rng, 0.5, kept_back=True)
        right[scene.style].append(tell(draw(scene, rng), thresholds) == scene.style)
    return {style: float(np.mean(hits)) for style, hits in right.items()}
