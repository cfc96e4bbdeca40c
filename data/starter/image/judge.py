"""Reads what a picture shows, by drawing what it might show and comparing.

The judge is arithmetic: it learns nothing, from the model's pictures or any others. It knows the
style that was asked for, finds the pixels that differ from the background, parts them where a band
of background runs between two things, fits each shape's silhouette to the box around a thing, and
tries the colours by drawing them. Only the steps in `THRESHOLD` were set, on drawn pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import product
from random import Random
from typing import NamedTuple

import numpy as np
from draw import PAINTERS, Field, Layer, Layers, Place, distance, draw
from numpy.typing import NDArray
from world import COLOURED_STYLES, COLOURS, SHAPES, Scene, Thing, sample

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Reading = dict[str, str]
PARTS = ("relation", "background", "shape1", "colour1", "shape2", "colour2")

# How far from the background a pixel must be to belong to a thing: more than paper's mottle, less
# than the nearest two colours; neon's glow must stay out.
THRESHOLD = {
    "flat": 38,
    "outline": 34,
    "striped": 38,
    "noir": 14,
    "neon": 80,
    "watercolor": 34,
}
GAP = 4  # rows of background that part two things; stripes leave three
CLEARLY = 0.8  # a thing inside must explain this much better than none
INNER = (0.28, 0.34, 0.41)  # radii of a thing inside, as shares of the outer one's
RIM = 0.06  # of the shorter side: how far from a shape's edge its line may be
INKED = 0.7  # of the greatest change, from which on a pixel shows a thing's colour alone
SMALLEST_OUTER = 0.29  # radius, as a share of the picture, from which on a thing can hold another


def read_scene(scene: Scene) -> Reading:
    """What a perfect judge would say of the scene."""
    second = scene.second
    return {
        "relation": scene.relation,
        "background": scene.background,
        "shape1": scene.first.shape,
        "colour1": scene.first.colour,
        "shape2": second.shape if second else "none",
        "colour2": second.colour if second else "none",
    }


def _reading(background: str, relation: str, things: list[Thing]) -> Reading:
    if not things:
        return dict.fromkeys(PARTS, "none") | {"background": background}
    second = things[1] if len(things) > 1 else None
    return read_scene(Scene(things[0], background, "flat", relation, second))


class _Even(Random):
    """Draws nothing by chance: paper without its mottle, which no guess could meet."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@cache
def _extent(shape: str) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of the shape of radius 1 around its centre."""
    inside = distance(Thing(shape, "red"), Place(0.5, 0.5, 0.25), 512, 512) < 0
    columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
    unit = 512 * 0.25
    ends = (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1)
    left, right, top, bottom = ((float(end) - 256) / unit for end in ends)
    return left, right, top, bottom


@cache
def _paper(style: str, colour: str) -> tuple[float, ...]:
    painted = PAINTERS[style](colour, [], _Even(), (128, 128))
    return tuple(float(value) for value in np.median(painted.reshape(-1, 3), axis=0))


def _border(pixels: Field) -> Field:
    sides = (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:])
    colour: Field = np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0)
    return colour


def things(picture: Picture, style: str) -> Mask:
    """The things' pixels, without specks: a pixel counts if most of its neighbourhood does too."""
    pixels = picture.astype(np.float32)
    mask = np.abs(pixels - _border(pixels)).max(axis=2) > THRESHOLD[style]
    padded = np.pad(mask.astype(np.int8), 1)
    height, width = mask.shape
    near = sum(padded[y : y + height, x : x + width] for y, x in product(range(3), range(3)))
    cleaned: Mask = mask & (np.asarray(near) >= 4)
    return cleaned


def _parts(mask: Mask) -> tuple[Mask, Mask] | None:
    """The mask in two, above and below the widest band of background near the middle."""
    used = mask.sum(1) >= 2
    rows = np.flatnonzero(used)
    if len(rows) < 2:
        return None
    steps = np.diff(rows)
    widest = int(steps.argmax())
    middle = (rows[widest] + rows[widest + 1]) / 2 / len(used)
    if steps[widest] <= GAP or not 0.28 < middle < 0.72:
        return None
    above, below = mask.copy(), mask.copy()
    above[rows[widest] + 1 :] = False
    below[: rows[widest + 1]] = False
    return above, below


def _fill(mask: Mask) -> Mask:
    """The silhouette: what lies between the mask's pixels both across and down."""

    def between(m: Mask) -> Mask:
        forth, back = np.maximum.accumulate(m, 1), np.maximum.accumulate(m[:, ::-1], 1)[:, ::-1]
        span: Mask = forth & back
        return span

    silhouette: Mask = between(mask) & between(mask.T).T
    return silhouette


def _fit(mask: Mask) -> list[tuple[float, str, Place]]:
    """The shapes and where they would be, the best silhouette first."""
    columns, rows = np.flatnonzero(mask.sum(0) >= 2), np.flatnonzero(mask.sum(1) >= 2)
    if len(columns) < 4 or len(rows) < 4:
        return []
    height, width = mask.shape
    side, silhouette = min(mask.shape), _fill(mask)
    found = []
    for shape in SHAPES:
        left, right, top, bottom = _extent(shape)
        wide, high = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
        radius = (wide / (right - left) + high / (bottom - top)) / 2
        x = (columns[-1] + 1 + columns[0]) / 2 - radius * (left + right) / 2
        y = (rows[-1] + 1 + rows[0]) / 2 - radius * (top + bottom) / 2
        place = Place(x / width, y / height, radius / side)
        model = _fill(distance(Thing(shape, "red"), place, width, height) < 0)
        overlap = (model & silhouette).sum() / max(1, (model | silhouette).sum())
        found.append((float(overlap), shape, place))
    return sorted(found, reverse=True, key=lambda fit: fit[0])


def _ink(pixels: Field, where: Mask) -> Field:
    """The colour of the pixels there that differ most from the background."""
    change = np.where(where, np.abs(pixels - _border(pixels)).max(axis=2), 0)
    ink: Field = np.median(pixels[change >= INKED * np.quantile(change[where], 0.98)], axis=0)
    return ink


class _Easel:
    """Draws guesses of one picture and says how wrong they are."""

    def __init__(self, picture: Picture, style: str) -> None:
        self.pixels: Field = picture.astype(np.float32)
        self.style = style
        self.height, self.width = self.pixels.shape[:2]
        border = _border(self.pixels)
        self.background = min(
            COLOURS, key=lambda c: float(np.abs(border - np.array(_paper(style, c))).sum())
        )

    def layer(self, thing: Thing, place: Place) -> Layer:
        return thing, distance(thing, place, self.width, self.height)

    def paint(self, layers: Layers) -> Field:
        return PAINTERS[self.style](self.background, layers, _Even(), (self.height, self.width))

    def error(self, layers: Layers, where: Mask) -> float:
        return float(np.abs(self.paint(layers) - self.pixels)[where].mean())

    def colour(self, shape: str, place: Place, where: Mask) -> Thing:
        """The colour that draws the shape there most like the picture."""
        layer = self.layer(Thing(shape, "red"), place)[1]
        rim = np.abs(layer) < RIM * min(self.width, self.height)

        def difference(thing: Thing) -> float:
            if self.style != "outline":
                return self.error([(thing, layer)], where)
            # A line beside its place would be nearest to a colour like the background's: of lines,
            # only the ink is compared.
            ink = _ink(self.paint([(thing, layer)]), rim)
            return float(np.abs(ink - _ink(self.pixels, rim)).sum())

        return min((Thing(shape, c) for c in COLOURS if c != self.background), key=difference)

    def inner(self, outer: Layer, place: Place) -> Layer | None:
        """The thing inside that explains the picture best, or None if an empty one does."""
        core = (
            self.layer(Thing("square", "red"), Place(place.x, place.y, place.radius * 0.5))[1] < 0
        )
        best: tuple[Layer | None, float] = None, CLEARLY * self.error([outer], core)
        for shape, share in product(SHAPES, INNER):
            inside = Place(place.x, place.y, place.radius * share)
            distances = self.layer(Thing(shape, "red"), inside)[1]
            for colour in COLOURS:
                layer = Thing(shape, colour), distances
                error = self.error([outer, layer], core)
                if colour != outer[0].colour and error < best[1]:
                    best = layer, error
        return best[0]


def _one(easel: _Easel, mask: Mask) -> tuple[Layer, Place] | None:
    fits = _fit(mask)
    if not fits:
        return None
    _, shape, place = fits[0]
    return easel.layer(easel.colour(shape, place, _fill(mask)), place), place


class Guess(NamedTuple):
    """What a picture shows if it is of a style."""

    reading: Reading
    error: float
    """Mean difference of a channel, 0 to 255, between the picture and what was read, painted in
    the style."""


def guess(picture: Picture, style: str) -> Guess:
    """The picture read as one of the style, and painted again."""
    easel = _Easel(picture, style)
    relation, layers = _read(easel, things(picture, style))
    everywhere = np.ones(picture.shape[:2], bool)
    return Guess(
        _reading(easel.background, relation, [thing for thing, _ in layers]),
        easel.error(layers[::-1], everywhere),
    )


def judge(picture: Picture, style: str) -> Reading:
    """What the picture shows, read as one of the style."""
    return guess(picture, style).reading


def _read(easel: _Easel, mask: Mask) -> tuple[str, Layers]:
    """The relation, and what stands in it, in the order of reading."""
    for relation, turned in (("above", False), ("left", True)):
        parts = _parts(mask.T if turned else mask)
        if parts is None:
            continue
        first, second = (_one(easel, part.T if turned else part) for part in parts)
        return (relation, [first[0], second[0]]) if first and second else ("none", [])
    found = _one(easel, mask)
    if found is None:
        return "none", []
    layer, place = found
    inner = easel.inner(layer, place) if place.radius >= SMALLEST_OUTER else None
    return ("inside", [inner, layer]) if inner else ("none", [layer])


def soften(picture: Picture, rng: Random) -> Picture:
    """Blurred, tinted and noised a little, as a generated picture may be."""
    pixels = np.pad(picture.astype(np.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    blurred = (
        sum(
            pixels[y : y + picture.shape[0], x : x + picture.shape[1]]
            for y, x in product(range(3), range(3))
        )
        / 9
    )
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 3, picture.shape)
    softened = blurred + noise + [rng.uniform(-5, 5) for _ in range(3)]
    return np.clip(softened, 0, 255).astype(np.uint8)


def accuracy(count: int = 300, seed: int = 22) -> dict[str, float]:
    """Everything right, on drawn and softened pictures of kept-back combinations."""
    rng = Random(seed)
    right: dict[str, list[bool]] = {"one": [], "two": []}
    for pairs, name in ((0.0, "one"), (1.0, "two")):
        for scene in _coloured(rng, pairs, count // 2):
            reading = judge(soften(draw(scene, rng), rng), scene.style)
            right[name].append(reading == read_scene(scene))
    return {name: round(float(np.mean(hits)), 4) for name, hits in right.items()}


def _coloured(rng: Random, pairs: float, count: int) -> Iterable[Scene]:
    while count:
        scene = sample(rng, pairs, kept_back=True)
        if scene.style in COLOURED_STYLES:
            count -= 1
            yield scene
