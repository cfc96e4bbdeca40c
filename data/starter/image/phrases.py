"""How English says a scene, in many phrasings, with any part left out."""

from __future__ import annotations

from random import Random

from world import COLOURS, RELATIONS, SHAPES, SIZES, STYLES, Scene, Thing

# What a caption says about each part of a scene; None is "left out".
Said = dict[str, str | None]
PARTS: dict[str, tuple[str, ...]] = {
    "shape1": SHAPES,
    "colour1": COLOURS,
    "size1": SIZES,
    "shape2": ("none", *SHAPES),
    "colour2": COLOURS,
    "size2": SIZES,
    "relation": RELATIONS,
    "background": COLOURS,
    "style": STYLES,
}

SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "circle", "disc", "dot", "ball", "round"),
    "square": ("square", "square", "square", "box", "block"),
    "triangle": ("triangle", "triangle", "pyramid"),
    "star": ("star",),
    "heart": ("heart", "heart", "love heart"),
    "cross": ("cross", "cross", "plus", "plus sign"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "red", "red", "crimson", "scarlet"),
    "orange": ("orange", "orange", "orange", "tangerine"),
    "yellow": ("yellow", "yellow", "yellow", "golden", "lemon"),
    "green": ("green", "green", "green", "emerald"),
    "blue": ("blue", "blue", "blue", "azure", "navy"),
    "purple": ("purple", "purple", "purple", "violet"),
    "black": ("black", "black", "black", "ebony"),
    "white": ("white", "white", "white", "ivory"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "small", "little", "tiny"),
    "big": ("big", "large", "large", "huge"),
}
STYLE_PREFIXES: dict[str, tuple[str, ...]] = {
    "flat": ("a flat picture of", "a flat drawing of", "flat art of", "a simple drawing of"),
    "outline": ("an outline of", "an outline drawing of", "a line drawing of"),
    "striped": ("a striped drawing of", "a striped picture of", "a picture with stripes of"),
    "noir": ("a noir picture of", "a noir of", "a black and white photo of"),
    "neon": ("a neon sign of", "a neon of", "a glowing neon sign of"),
    "watercolor": ("a watercolor of", "a watercolour painting of", "a watercolor painting of"),
}
STYLE_SUFFIXES: dict[str, tuple[str, ...]] = {
    "flat": (", flat", "in flat style", ", flat style", ", flat colors"),
    "outline": (", outline", "in outline style", ", outlined", ", line art"),
    "striped": (", striped", "in striped style", "with stripes", ", stripes"),
    "noir": (", noir", "in noir style", ", film noir", ", noir style"),
    "neon": (", neon", "in neon style", ", neon lights", ", glowing neon"),
    "watercolor": (
        ", watercolor",
        "in watercolor style",
        "in watercolour",
        ", watercolor painting",
    ),
}
PLAIN_PREFIXES = (
    "",
    "",
    "",
    "",
    "",
    "a picture of",
    "a drawing of",
    "an image of",
    "draw",
    "please draw",
    "show me",
    "a photo of",
    "there is",
    "i want",
)
RELATION_PHRASES: dict[str, tuple[str, ...]] = {
    "above": (
        "{a} above {b}",
        "{a} above {b}",
        "{b} below {a}",
        "{b} below {a}",
        "{a} over {b}",
        "{b} under {a}",
        "{b} beneath {a}",
        "{a} on top of {b}",
        "{b} underneath {a}",
        "{b} with {a} above it",
        "{a} with {b} below it",
        "{a} at the top and {b} at the bottom",
    ),
    "left": (
        "{a} left of {b}",
        "{a} to the left of {b}",
        "{b} right of {a}",
        "{b} to the right of {a}",
        "{a} on the left of {b}",
        "{b} on the right of {a}",
        "{a} on the left and {b} on the right",
        "{b} with {a} on its left",
        "{a} with {b} on its right",
    ),
    "inside": (
        "{a} inside {b}",
        "{a} inside {b}",
        "{a} in {b}",
        "{a} within {b}",
        "{a} inside of {b}",
        "{b} with {a} inside",
        "{b} with {a} inside it",
        "{b} containing {a}",
        "{b} around {a}",
    ),
}
BACKGROUND_PHRASES = (
    "on a {c} background",
    "on {c} background",
    "on a {c} background",
    "on {c}",
    "over a {c} background",
    "against a {c} background",
    "with a {c} background",
    ", {c} background",
    "against {c}",
    ", background {c}",
)
FILLERS = (
    ", high quality",
    ", beautiful",
    ", best quality",
    ", detailed",
    ", 4k",
    ", masterpiece",
    ", simple",
    ", centered",
    ", nice",
    ", trending",
    ", pretty",
    ", minimal",
    ", cute",
)
NOISE = (
    "very",
    "really",
    "nice",
    "lovely",
    "pretty",
    "cute",
    "single",
    "beautiful",
    "happy",
    "shiny",
    "funny",
    "old",
    "new",
    "wooden",
    "soft",
    "calm",
    "wild",
    "my",
    "some",
    "cat",
    "tree",
    "house",
)
STYLE_ADJECTIVES = {
    "flat": "flat",
    "outline": "outlined",
    "striped": "striped",
    "neon": "neon",
    "noir": "noir",
    "watercolor": "watercolor",
}


def _drops(rng: Random, share: float) -> bool:
    return rng.random() < share


def _article(rng: Random, phrase: str) -> str:
    article = rng.choices(("a", "", "the", "one"), (70, 20, 7, 3))[0]
    if article == "a" and phrase[0] in "aeiou":
        article = "an"
    return f"{article} {phrase}".strip()


def _say_thing(thing: Thing, rng: Random, adjective: str = "") -> tuple[str, list[str | None]]:
    """A noun phrase, and the shape, colour and size that it says."""
    size = None if thing.size == "default" or _drops(rng, 0.05) else thing.size
    colour = None if _drops(rng, 0.05) else thing.colour
    shape = None if _drops(rng, 0.02) else thing.shape
    words = [rng.choice(SIZE_WORDS[size])] if size else []
    if adjective:
        words.append(adjective)
    if colour:
        words.append(rng.choice(COLOUR_WORDS[colour]))
    words.append(
        rng.choice(SHAPE_WORDS[shape]) if shape else rng.choice(("shape", "thing", "figure"))
    )
    return _article(rng, " ".join(words)), [shape, colour, size]


def _says_background(scene: Scene, rng: Random) -> bool:
    """White paper and a neon sign's night are what an unsaid background mostly is."""
    usual = "black" if scene.style == "neon" else "white"
    return not _drops(rng, 0.3 if scene.background == usual else 0.05)


def _say_things(scene: Scene, rng: Random, adjective: str) -> tuple[str, Said]:
    first, second = scene.first, scene.second
    relation: str | None = scene.relation
    if second is not None and _drops(rng, 0.06):
        # Told only "a and b", a reader cannot know which of them the scene calls the first.
        relation = None
        first, second = rng.sample((first, second), 2)
    a, said1 = _say_thing(first, rng, adjective)
    b, said2 = _say_thing(second, rng) if second else ("", ["none", None, None])
    said = dict(
        zip(
            ("shape1", "colour1", "size1", "shape2", "colour2", "size2"), said1 + said2, strict=True
        )
    )
    said["relation"] = relation
    if second is None:
        return a, said
    phrase = rng.choice(
        RELATION_PHRASES[relation] if relation else ("{a} and {b}", "{a} with {b}", "{a}, {b}")
    )
    return phrase.format(a=a, b=b), said


def describe(scene: Scene, rng: Random, *, noise: float = 0.0) -> tuple[str, Said]:
    """A caption, and what it says; `noise` is the chance of each kind of words that mean nothing
    here."""
    says_style = not _drops(rng, 0.5 if scene.style == "flat" else 0.07)
    way = rng.choice(("prefix", "suffix", "suffix", "adjective")) if says_style else ""
    if way == "adjective" and (scene.second is not None or scene.style not in STYLE_ADJECTIVES):
        way = "suffix"
    adjective = STYLE_ADJECTIVES[scene.style] if way == "adjective" else ""
    body, said = _say_things(scene, rng, adjective)
    said["style"] = scene.style if says_style else None
    prefix = rng.choice(STYLE_PREFIXES[scene.style] if way == "prefix" else PLAIN_PREFIXES)
    tails = [rng.choice(STYLE_SUFFIXES[scene.style])] if way == "suffix" else []
    said["background"] = None
    if _says_background(scene, rng):
        said["background"] = scene.background
        background = rng.choice(BACKGROUND_PHRASES).format(
            c=rng.choice(COLOUR_WORDS[scene.background])
        )
        tails.insert(rng.choices((0, len(tails)), (3, 1))[0], background)
    if _drops(rng, 0.1 + noise):
        tails.append(rng.choice(FILLERS))
    words = " ".join([prefix, body, *tails]).replace(" ,", ",").strip()
    return _disturb(words, rng, noise), said


def describe_fully(scene: Scene, rng: Random) -> str:
    """A caption that leaves out nothing but a flat style or a default size."""
    while True:
        caption, said = describe(scene, rng)
        expected = [
            scene.background,
            scene.relation,
            *(p for t in scene.things for p in (t.shape, t.colour)),
        ]
        parts = ("background", "relation", "shape1", "colour1", "shape2", "colour2")[
            : len(expected)
        ]
        sizes = [None if thing.size == "default" else thing.size for thing in scene.things]
        if (
            [said[part] for part in parts] == expected
            and [said["size1"], said["size2"]][: len(sizes)] == sizes
            and (said["style"] or "flat") == scene.style
        ):
            return caption


def _disturb(caption: str, rng: Random, noise: float) -> str:
    words = caption.split()
    if _drops(rng, noise):
        words.insert(rng.randrange(len(words) + 1), rng.choice(NOISE))
    if _drops(rng, noise):
        words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 7))), *words]
    if _drops(rng, noise):
        words += rng.choices(NOISE, k=rng.randint(1, 8))
    return " ".join(words)


def words() -> list[str]:
    """Every word that means something in some phrasing, sorted."""
    groups = (
        SHAPE_WORDS,
        COLOUR_WORDS,
        SIZE_WORDS,
        STYLE_PREFIXES,
        STYLE_SUFFIXES,
        RELATION_PHRASES,
    )
    phrases = [phrase for group in groups for choices in group.values() for phrase in choices]
    phrases += [*PLAIN_PREFIXES, *STYLE_ADJECTIVES.values(), *BACKGROUND_PHRASES, *FILLERS]
    phrases += ["a an the one and with shape thing figure"]
    text = " ".join(phrases)
    for mark in ("{a}", "{b}", "{c}", ","):
        text = text.replace(mark, " ")
    return sorted(set(text.split()))
