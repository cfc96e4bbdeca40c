"""The starter model's world: what a picture may hold, and which combinations are kept back.

Everything here is pure. A `Scene` is complete; how English says it, and what a caption may leave
out, is in `phrases`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from random import Random

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black", "white")
SIZES = ("default", "small", "big")
RELATIONS = ("none", "above", "left", "inside")
STYLES = ("flat", "outline", "striped", "noir", "neon", "watercolor")
COLOURED_STYLES = ("flat", "outline", "striped", "neon", "watercolor")

HELD_OUT_PERCENT = 12


@dataclass(frozen=True, slots=True)
class Thing:
    shape: str
    colour: str
    size: str = "default"


@dataclass(frozen=True, slots=True)
class Scene:
    """One or two things on a background.

    `relation` reads "first is <relation> second": `above`, `left` (of) or `inside`. The mirror
    relations ("below", "right of", "around") are ways of saying the same scene, so they live in the
    phrasings and not here.
    """

    first: Thing
    background: str
    style: str = "flat"
    relation: str = "none"
    second: Thing | None = None

    @property
    def things(self) -> tuple[Thing, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)


def _bucket(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 100


def thing_key(thing: Thing, background: str) -> str:
    return f"{thing.shape} {thing.colour} on {background}"


def pair_key(scene: Scene) -> str:
    second = scene.second
    assert second is not None
    first = scene.first
    return f"{first.shape} {first.colour} {scene.relation} {second.shape} {second.colour}"


def held_out(scene: Scene) -> bool:
    """Whether training must never see this scene.

    A thing's shape and colour together with the background is one combination, and the two things
    with their relation is another; size and style do not count. A two-thing scene is kept back if
    any of its combinations is, so a held-out one never slips in as half of a pair.
    """
    keys = [thing_key(thing, scene.background) for thing in scene.things]
    if scene.second is not None:
        keys.append(pair_key(scene))
    return any(_bucket(key) < HELD_OUT_PERCENT for key in keys)


def _size(rng: Random) -> str:
    return rng.choices(SIZES, (50, 25, 25))[0]


def _other(rng: Random, colour: str) -> str:
    return rng.choice([c for c in COLOURS if c != colour])


def _style(rng: Random) -> str:
    """Outline more often than the others: thin lines take longest to learn."""
    return rng.choices(STYLES, (24, 28, 12, 12, 12, 12))[0]


def sample_any(rng: Random, pairs: float = 0.6) -> Scene:
    """A scene at random, whichever side of the split it falls on; `pairs` is the share with two
    things."""
    background = rng.choice((*COLOURS, "white", "black"))
    first = Thing(rng.choice(SHAPES), _other(rng, background), _size(rng))
    style = _style(rng)
    if rng.random() >= pairs:
        return Scene(first, background, style)
    relation = rng.choice(RELATIONS[1:])
    second = Thing(rng.choice(SHAPES), _other(rng, background), _size(rng))
    if relation == "inside":
        first = replace(first, colour=_other(rng, second.colour))
    return Scene(first, background, style, relation, second)


def sensible(scene: Scene) -> bool:
    """Black tubes of neon give no light, and two equal things say nothing about who is where."""
    if scene.style == "neon" and any(thing.colour == "black" for thing in scene.things):
        return False
    first, second = scene.first, scene.second
    return second is None or (first.shape, first.colour) != (second.shape, second.colour)


def sample(rng: Random, pairs: float = 0.6, *, kept_back: bool = False) -> Scene:
    """A scene to train on, or with `kept_back` one that training never sees."""
    while True:
        scene = sample_any(rng, pairs)
        if sensible(scene) and held_out(scene) is kept_back:
            return scene
