"""Draws a scene at any size, from signed distances, in any style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from world import Scene, Thing

Field = NDArray[np.float32]

RGB: dict[str, tuple[int, int, int]] = {
    "red": (222, 36, 38),
    "orange": (250, 136, 16),
    "yellow": (250, 222, 40),
    "green": (34, 160, 66),
    "blue": (40, 88, 222),
    "purple": (142, 50, 184),
    "black": (16, 16, 18),
    "white": (246, 246, 244),
}
GREY = {
    "black": 12,
    "blue": 46,
    "purple": 78,
    "red": 108,
    "green": 138,
    "orange": 172,
    "yellow": 210,
    "white": 245,
}
PAPER = np.array((252, 247, 236), np.float32)

STRIPE_PERIOD = 8  # pixels at any size: one cell of the latent grid, so that every cell looks alike
BASE = 128  # the size that stroke widths and glows are given for


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thing is: its centre as a share of width and height, its radius of the shorter
    side."""

    x: float
    y: float
    radius: float


def _jitter(rng: Random, amount: float) -> float:
    return rng.uniform(-amount, amount)


def place(scene: Scene, rng: Random) -> tuple[Place, ...]:
    """Places for the scene's things, as the relation says and a little different each time."""

    def one(thing: Thing, x: float, y: float, radii: dict[str, float], wobble: float) -> Place:
        radius = radii[thing.size] * rng.uniform(0.93, 1.07)
        return Place(x + _jitter(rng, wobble), y + _jitter(rng, wobble), radius)

    if scene.second is None:
        return (one(scene.first, 0.5, 0.5, {"small": 0.17, "default": 0.27, "big": 0.38}, 0.07),)
    if scene.relation == "inside":
        outer = one(scene.second, 0.5, 0.5, {"small": 0.36, "default": 0.41, "big": 0.45}, 0.03)
        share = {"small": 0.29, "default": 0.35, "big": 0.4}[scene.first.size]
        return Place(outer.x, outer.y, outer.radius * share), outer
    radii = {"small": 0.12, "default": 0.17, "big": 0.22}
    x, y = (0.24, 0.5) if scene.relation == "left" else (0.5, 0.24)
    first = one(scene.first, x, y, radii, 0.025)
    return first, one(scene.second, 1 - x, 1 - y, radii, 0.025)


def _polygon(corners: list[tuple[float, float]]) -> Callable[[Field, Field], Field]:
    points = np.array(corners, np.float32)

    def distance(x: Field, y: Field) -> Field:
        nearest = np.full(x.shape, np.inf, np.float32)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
            ex, ey = bx - ax, by - ay
            px, py = x - ax, y - ay
            along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
            np.minimum(nearest, (px - along * ex) ** 2 + (py - along * ey) ** 2, out=nearest)
            if ey != 0:
                inside ^= ((ay > y) != (by > y)) & (px < ex * py / ey)
        return np.where(inside, -1, 1).astype(np.float32) * np.sqrt(nearest)

    return distance


def _circle(x: Field, y: Field) -> Field:
    distance: Field = np.hypot(x, y) - np.float32(0.92)
    return distance


def _heart(x: Field, y: Field) -> Field:
    unit = 0.62
    x, y = np.abs(x) * unit, 0.52 - y * unit
    lobe = np.hypot(x - 0.25, y - 0.75) - np.sqrt(2) / 4
    fold = 0.5 * np.maximum(x + y, 0)
    tip = np.sqrt(np.minimum(x**2 + (y - 1) ** 2, (x - fold) ** 2 + (y - fold) ** 2))
    distance = np.where(x + y > 1, lobe, tip * np.sign(x - y)) / unit
    return distance.astype(np.float32)


def _turn(radius: float, degrees: float, dy: float = 0.0) -> tuple[float, float]:
    angle = np.deg2rad(degrees)
    return float(radius * np.sin(angle)), float(dy - radius * np.cos(angle))


_ARM = 0.31
_CROSS = [
    (-_ARM, -1),
    (_ARM, -1),
    (_ARM, -_ARM),
    (1, -_ARM),
    (1, _ARM),
    (_ARM, _ARM),
    (_ARM, 1),
    (-_ARM, 1),
    (-_ARM, _ARM),
    (-1, _ARM),
    (-1, -_ARM),
    (-_ARM, -_ARM),
]

DISTANCE: dict[str, Callable[[Field, Field], Field]] = {
    "circle": _circle,
    "square": _polygon([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]),
    "triangle": _polygon([_turn(1.15, 120 * i, 0.2) for i in range(3)]),
    "star": _polygon([_turn(0.47 if i % 2 else 1.08, 36 * i, 0.03) for i in range(10)]),
    "heart": _heart,
    "cross": _polygon(_CROSS),
}


def distance(thing: Thing, where: Place, width: int, height: int) -> Field:
    """Signed distance in pixels from each pixel to the thing's edge, negative within."""
    unit = where.radius * min(width, height)
    xs = (np.arange(width, dtype=np.float32) + 0.5 - where.x * width) / unit
    ys = (np.arange(height, dtype=np.float32) + 0.5 - where.y * height) / unit
    x, y = np.broadcast_arrays(xs[None, :], ys[:, None])
    return DISTANCE[thing.shape](x, y) * np.float32(unit)


def draw(scene: Scene, rng: Random, width: int = BASE, height: int = BASE) -> NDArray[np.uint8]:
    """The scene as an RGB picture; the same scene and `rng` state give the same pixels."""
    places = place(scene, rng)
    # The outer of "inside" is the second thing and must not cover the first.
    layers = [
        (thing, distance(thing, where, width, height))
        for thing, where in zip(scene.things, places, strict=True)
    ][::-1]
    picture = PAINTERS[scene.style](scene.background, layers, rng, (height, width))
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


Layer = tuple[Thing, Field]
"""A thing and the signed distances to its edge."""
Layers = list[Layer]
Painter = Callable[[str, Layers, Random, tuple[int, int]], Field]


def _rgb(colour: str) -> Field:
    return np.array(RGB[colour], np.float32)


def _scale(shape: tuple[int, int]) -> float:
    return min(shape) / BASE


def _fill(colour: Field, shape: tuple[int, int]) -> Field:
    return np.broadcast_to(colour, (*shape, 3)).astype(np.float32)


def _over(picture: Field, colour: Field, cover: Field) -> Field:
    return picture + (colour - picture) * cover[..., None]


def _cover(distances: Field, softness: float = 1.0) -> Field:
    return np.clip(0.5 - distances / softness, 0, 1)


def _flat(background: str, layers: Layers, _rng: Random, shape: tuple[int, int]) -> Field:
    picture = _fill(_rgb(background), shape)
    for thing, distances in layers:
        picture = _over(picture, _rgb(thing.colour), _cover(distances))
    return picture


def _outline(background: str, layers: Layers, _rng: Random, shape: tuple[int, int]) -> Field:
    picture = _fill(_rgb(background), shape)
    for thing, distances in layers:
        stroke = np.abs(distances + 2 * _scale(shape)) - 2.2 * _scale(shape)
        picture = _over(picture, _rgb(thing.colour), _cover(stroke))
    return picture


def _striped(background: str, layers: Layers, _rng: Random, shape: tuple[int, int]) -> Field:
    paper = _rgb(background)
    picture = _fill(paper, shape)
    bar = (np.arange(shape[0]) % STRIPE_PERIOD < STRIPE_PERIOD * 5 // 8)[:, None, None]
    for thing, distances in layers:
        colour = _rgb(thing.colour)
        bars = np.where(bar, colour, 0.35 * colour + 0.65 * paper).astype(np.float32)
        picture = _over(picture, bars, _cover(distances))
    return picture


def _noir(background: str, layers: Layers, _rng: Random, shape: tuple[int, int]) -> Field:
    picture = _fill(np.full(3, GREY[background], np.float32), shape)
    for thing, distances in layers:
        picture = _over(picture, np.full(3, GREY[thing.colour], np.float32), _cover(distances))
    height, width = shape
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None]
    x = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :]
    vignette: Field = 1 - 1.3 * np.clip(x * x + y * y - 0.06, 0, 1)
    return picture * vignette[..., None]


def _neon(background: str, layers: Layers, _rng: Random, shape: tuple[int, int]) -> Field:
    scale = _scale(shape)
    picture = _fill(_rgb(background) * 0.3, shape)
    for thing, distances in layers:
        colour = _rgb(thing.colour)
        edge = np.abs(distances + 2 * scale)
        glow = 0.75 * np.exp(-edge / (5 * scale))
        picture = _over(picture, colour, glow.astype(np.float32))
        picture = _over(picture, 0.75 * colour + 64, _cover(edge - 1.8 * scale, 1.5))
    return picture


def _mottle(rng: Random, shape: tuple[int, int]) -> Field:
    """Uneven pigment: smooth noise of about one wave in every 24 pixels, mean 1."""
    height, width = shape
    grid = np.array(
        [[rng.uniform(-1, 1) for _ in range(width // 24 + 3)] for _ in range(height // 24 + 3)]
    )
    y, x = np.arange(height) / 24, np.arange(width) / 24
    rows, columns = y.astype(int), x.astype(int)
    fy, fx = (y - rows)[:, None], (x - columns)[None, :]
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    top = grid[np.ix_(rows, columns)] * (1 - fx) + grid[np.ix_(rows, columns + 1)] * fx
    low = grid[np.ix_(rows + 1, columns)] * (1 - fx) + grid[np.ix_(rows + 1, columns + 1)] * fx
    mottle: Field = (1 + 0.09 * (top * (1 - fy) + low * fy)).astype(np.float32)
    return mottle


def _watercolor(background: str, layers: Layers, rng: Random, shape: tuple[int, int]) -> Field:
    scale = _scale(shape)
    picture = _fill(_rgb(background) * 0.7 + PAPER * 0.3, shape)
    for thing, distances in layers:
        wash = _rgb(thing.colour) * 0.7 + PAPER * 0.3
        rim = np.exp(-np.abs(distances + 1.5 * scale) / (2.0 * scale))[..., None]
        picture = _over(picture, wash, _cover(distances, 3.5 * scale))
        picture = picture * (1 - 0.3 * rim.astype(np.float32))
    return picture * _mottle(rng, shape)[..., None]


PAINTERS: dict[str, Painter] = {
    "flat": _flat,
    "outline": _outline,
    "striped": _striped,
    "noir": _noir,
    "neon": _neon,
    "watercolor": _watercolor,
}
