"""Tells a picture's style by painting it again.

For every style there is one statistic: how far the picture is from its best reading painted in that
style (`judge.guess`). The smallest names the style, and no threshold is set for it. Thin lines are
the exception: a line drawn a little beside its place is no nearer to the line than to an area. So
of the styles that keep colours as they are, outline is told by `filled`, the share of changed
pixels between the first and last changed one of a row or column, whose one threshold is set on
drawn pictures.

Where two styles paint a scene alike, as flat and noir do with a white thing on black, nothing can
tell them apart; `accuracy` says how often that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from random import Random

import numpy as np
from draw import draw
from judge import Picture, guess, soften, things
from numpy.typing import NDArray
from world import STYLES, sample

FULL = ("flat", "striped", "outline")
"""Styles that paint every colour as it is."""


def errors(picture: Picture) -> dict[str, float]:
    """Of each style, how far the picture is from its best reading in that style."""
    return {style: guess(picture, style).error for style in STYLES}


def filled(picture: Picture) -> float:
    """How much of the things is filled, 0 to 1, by rows or by columns, whichever is more."""
    changed = things(picture, "flat")

    def share(mask: NDArray[np.bool_]) -> float:
        between = np.maximum.accumulate(mask, 1) & np.maximum.accumulate(mask[:, ::-1], 1)[:, ::-1]
        return float(mask.sum() / max(1, between.sum()))

    return max(share(changed), share(changed.T))


def tell(picture: Picture, threshold: float) -> str:
    """The style that explains the picture best."""
    found = errors(picture)
    best = min(STYLES, key=found.__getitem__)
    if best not in FULL:
        return best
    if filled(picture) < threshold:
        return "outline"
    return min(("flat", "striped"), key=found.__getitem__)


def tell_all(pictures: Iterable[Picture], threshold: float) -> list[str]:
    """The styles of pictures, on all cores: each is painted six times and more."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(tell, threshold=threshold), pictures, chunksize=8))


def fit(seed: int = 11, count: int = 1500) -> float:
    """The threshold of `filled` with the fewest mistakes on drawn training pictures, each side
    counted as a share; the middle of the best ones."""
    values = [
        (style == "outline", filled(picture))
        for style, picture in _drawn(Random(seed), count, kept_back=False)
        if style in FULL
    ]
    hollow, rest = (np.array([v for own, v in values if own is side]) for side in (True, False))
    cuts = np.unique([v for _, v in values])
    mistakes = [np.mean(hollow >= cut) + np.mean(rest < cut) for cut in cuts]
    best = cuts[np.isclose(mistakes, np.min(mistakes))]
    return float((best.min() + best.max()) / 2)


def accuracy(threshold: float, seed: int = 12, count: int = 300) -> dict[str, float]:
    """On drawn pictures of kept-back combinations: the share told right, for each style."""
    right: dict[str, list[bool]] = {style: [] for style in STYLES}
    styles, pictures = zip(*_drawn(Random(seed), count, kept_back=True), strict=True)
    for style, told in zip(styles, tell_all(pictures, threshold), strict=True):
        right[style].append(told == style)
    return {style: round(float(np.mean(hits)), 4) for style, hits in right.items()}


def _drawn(rng: Random, count: int, *, kept_back: bool) -> Iterator[tuple[str, Picture]]:
    """Styles and pictures of them, drawn and softened."""
    for _ in range(count):
        scene = sample(rng, 0.5, kept_back=kept_back)
        yield scene.style, soften(draw(scene, rng), rng)
