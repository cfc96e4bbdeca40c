"""What is measured, and in which order: named before anything is. Pure.

Corrections are learned from `FITTED` and judged on `HELD_OUT`, which shares no point with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from mysticanvas.environment import engine_environment

Segments = Literal["worker", "expandable", "fixed"]
"""How the allocator reserves memory: as workers have it, in segments that grow, or that do not."""
ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
SETTINGS: dict[Segments, dict[str, str]] = {
    "worker": {},
    "expandable": {ALLOCATOR: "expandable_segments:True"},
    "fixed": {ALLOCATOR: "expandable_segments:False"},
}
"""Variables of a process beside those of a worker."""
STEPS = 2
TOKENS = {"sd15": 77, "sdxl": 77, "flux": 512}
"""Of a prompt, filled up as the pipeline does it."""
_GUIDED = {"sd15", "sdxl"}
SLICED, TILED, ON_CPU = ("vae_slicing",), ("vae_tiling",), ("vae_cpu",)
BOTH = ("vae_slicing", "vae_tiling")


def grows(segments: Segments) -> bool:
    """Whether segments grow; workers may be told to have such."""
    variables = engine_environment(1) | SETTINGS[segments]
    return variables.get(ALLOCATOR) == SETTINGS["expandable"][ALLOCATOR]


OTHER: Segments = "fixed" if grows("worker") else "expandable"
"""What workers do not have."""


class Point(NamedTuple):
    """A job that is measured in a process of its own."""

    model: str
    width: int
    """Pixels."""
    height: int
    images: int = 1
    """Made at once."""
    mitigations: tuple[str, ...] = ()
    segments: Segments = "worker"
    plain: bool = False
    """Whether a model that can be guided by a negative prompt is not."""

    @property
    def name(self) -> str:
        """Such as `sdxl 1024×1024 ×2 vae_tiling`."""
        parts = [self.model, f"{self.width}×{self.height}"]
        parts += [f"×{self.images}"] if self.images > 1 else []
        parts += ["unguided"] if self.plain else []
        parts += self.mitigations
        return " ".join([*parts, *([self.segments] if self.segments != "worker" else [])])

    @property
    def guided(self) -> bool:
        """Whether the denoiser sees each picture twice."""
        return self.model in _GUIDED and not self.plain

    @property
    def on_cpu(self) -> bool:
        """Whether pictures are decoded on the CPU."""
        return "vae_cpu" in self.mitigations

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Point:
        """The point of a list of its members."""
        model, width, height, images, mitigations, segments, plain = value
        return cls(model, width, height, images, tuple(mitigations), segments, plain)


FITTED = (
    Point("sdxl", 1024, 1024),
    Point("sd15", 512, 512),
    Point("flux", 1024, 1024),
    Point("sd15", 1024, 1024),
    Point("sdxl", 768, 768, 2),
    Point("sd15", 512, 512, 4),
    Point("flux", 512, 512),
    Point("sdxl", 1280, 1280, 1, TILED),
    Point("sd15", 896, 896, 1, TILED),
    Point("flux", 512, 512, 2),
)
HELD_OUT = (
    Point("sdxl", 896, 640, 3),
    Point("sdxl", 1408, 704),
    Point("sdxl", 704, 704, 5, SLICED),
    Point("sdxl", 1728, 960, 1, TILED),
    Point("sdxl", 576, 1024, 2, BOTH),
    Point("sd15", 704, 576, 6),
    Point("flux", 896, 1216),
    Point("sdxl", 1152, 896),
    Point("sd15", 768, 768),
    Point("flux", 768, 768),
    Point("sdxl", 1024, 1024, 2),
    Point("sd15", 640, 448),
    Point("sdxl", 1536, 1536),
    Point("sdxl", 1536, 1536, 1, TILED),
    Point("sd15", 768, 768, 4),
    Point("sd15", 768, 768, 4, SLICED),
    Point("flux", 1344, 768),
    Point("sdxl", 1024, 1024, 4),
    Point("sdxl", 1024, 1024, 4, SLICED),
    Point("sdxl", 1024, 1024, 4, BOTH),
    Point("sd15", 1536, 1536),
    Point("sd15", 1536, 1536, 1, TILED),
    Point("sdxl", 512, 512, 1, ON_CPU),
    Point("flux", 1024, 1024, 2),
    Point("sd15", 768, 512, 2),
    Point("sd15", 512, 512, 1, ON_CPU),
    Point("sdxl", 1344, 768),
    Point("sdxl", 640, 640),
    Point("sd15", 2048, 2048),
    Point("sd15", 2048, 2048, 1, TILED),
    Point("sdxl", 2048, 2048, 1, TILED),
    Point("sdxl", 1024, 1024, 1, (), "worker", True),
    Point("sd15", 768, 768, 1, (), "worker", True),
    Point("flux", 1536, 1024),
    Point("sd15", 832, 640, 3),
    Point("sdxl", 1152, 896, 2, TILED),
    Point("sd15", 640, 640, 8),
    Point("sd15", 640, 640, 8, SLICED),
    Point("flux", 768, 768, 4),
    Point("sdxl", 2048, 2048),
    Point("sd15", 1024, 768, 2, BOTH),
    Point("sdxl", 896, 1152, 2),
    Point("sd15", 448, 832),
    Point("flux", 1536, 1536),
    Point("sdxl", 832, 1216, 1, TILED),
    Point("sdxl", 640, 1536),
)
COMPARED = tuple(
    point._replace(segments=OTHER)
    for point in (
        FITTED[0],
        HELD_OUT[12],
        FITTED[3],
        HELD_OUT[10],
        FITTED[2],
        HELD_OUT[13],
        HELD_OUT[18],
    )
)
"""Points that are measured a second time, with segments as workers do not have them."""


class Plan(NamedTuple):
    """Points in the order of their turns."""

    points: tuple[Point, ...]
    fitted: frozenset[Point]
    """Those that corrections are learned from."""

    def group(self, point: Point) -> str:
        """`fitted`, `held out` or `compared`."""
        if point in self.fitted:
            return "fitted"
        return "held out" if point.segments == "worker" else "compared"


def full() -> Plan:
    """All points, those first that tell most."""
    held = HELD_OUT
    points = (*FITTED, *held[:19], *COMPARED[:4], *held[19:31], *COMPARED[4:], *held[31:])
    return Plan(points, frozenset(FITTED))


def rehearsal() -> Plan:
    """Small points, to be run without a GPU: one for each model and way to decode, and one that is
    fitted for each model."""
    fitted = tuple(Point(model, 64, 64) for model in TOKENS)
    ways = dict.fromkeys(
        (point.model, point.mitigations, point.images > 1) for point in HELD_OUT if not point.plain
    )
    held = tuple(
        Point(model, 128, 64, 2 if several else 1, mitigations)
        for model, mitigations, several in ways
    )
    return Plan((*fitted, *held), frozenset(fitted))
