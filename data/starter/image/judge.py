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

import numpy as np
from draw import PAINTERS, Field, Layers, Place, distance, draw
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


def _reading(background: str, first: Thing, relation: str, second: Thing | None) -> Reading:
    return read_scene(Scene(first, background, "flat", relation, second))


def _nothing(background: str) -> Reading:
    return dict.fromkeys(PARTS, "none") | {"background": background}


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
    painted = PAINTERS[style](colour, [], Random(0), (128, 128))
    return tuple(float(value) for value in np.median(painted.reshape(-1, 3), axis=0))


def _border(pixels: Field) -> Field:
    sides = (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:])
    colour: Field = np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0)
    return colour


def _mask(pixels: Field, style: str) -> Mask:
    """The things' pixels, without specks: a pixel counts if most of its neighbourhood does too."""
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


Drawn = list[tuple[Thing, Place]]


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

    def layer(self, thing: Thing, place: Place) -> tuple[Thing, Field]:
        return thing, distance(thing, place, self.width, self.height)

    def error(self, layers: Layers, where: Mask) -> float:
        shape = (self.height, self.width)
        guess = PAINTERS[self.style](self.background, layers, Random(0), shape)
        return float(np.abs(guess - self.pixels)[where].mean())

    def colour(self, shape: str, place: Place, where: Mask) -> Thing:
        """The colour that draws the shape there most like the picture."""
        layer = self.layer(Thing(shape, "red"), place)[1]
        things = [Thing(shape, c) for c in COLOURS if c != self.background]
        return min(things, key=lambda thing: self.error([(thing, layer)], where))

    def inner(self, outer: Thing, place: Place) -> Thing | None:
        """The thing inside that explains the picture best, or None if an empty one does."""
        base = self.layer(outer, place)
        core = (
            distance(
                Thing("square", "red"),
                Place(place.x, place.y, place.radius * 0.5),
                self.width,
                self.height,
            )
            < 0
        )
        best: tuple[Thing | None, float] = None, CLEARLY * self.error([base], core)
        for shape, share in product(SHAPES, INNER):
            layer = self.layer(Thing(shape, "red"), Place(place.x, place.y, place.radius * share))
            for colour in COLOURS:
                thing = Thing(shape, colour)
                error = self.error([base, (thing, layer[1])], core)
                if colour != outer.colour and error < best[1]:
                    best = thing, error
        return best[0]


def _one(easel: _Easel, mask: Mask) -> tuple[Thing, Place] | None:
    fits = _fit(mask)
    if not fits:
        return None
    _, shape, place = fits[0]
    return easel.colour(shape, place, _fill(mask)), place


def judge(picture: Picture, style: str) -> Reading:
    """What the picture shows, read as one of the style."""
    easel = _Easel(picture, style)
    mask = _mask(easel.pixels, style)
    for relation, turned in (("above", False), ("left", True)):
        parts = _parts(mask.T if turned else mask)
        if parts is None:
            continue
        first, second = (_one(easel, part.T if turned else part) for part in parts)
        if first is None or second is None:
            return _nothing(easel.background)
        return _reading(easel.background, first[0], relation, second[0])
    found = _one(easel, mask)
    if found is None:
        return _nothing(easel.background)
    thing, place = found
    if place.radius < 0.29:
        return _reading(easel.background, thing, "none", None)
    inner = easel.inner(thing, place)
    return _reading(
        easel.background, inner or thing, "inside" if inner else "none", thing if inner else None
    )


def _soften(picture: Picture, rng: Random) -> Picture:
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
            reading = judge(_soften(draw(scene, rng), rng), scene.style)
            right[name].append(reading == read_scene(scene))
    return {name: round(float(np.mean(hits)), 4) for name, hits in right.items()}


def _coloured(rng: Random, pairs: float, count: int) -> Iterable[Scene]:
    while count:
        scene = sample(rng, pairs, kept_back=True)
        if scene.style in COLOURED_STYLES:
            count -= 1
            yield scene
