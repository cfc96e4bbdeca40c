"""What is measured, and in which order: named before anything is. Pure.

Corrections are learned from `FITTED` and judged on `HELD_OUT`, which shares no point with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from mysticanvas.contracts import conditioning
from mysticanvas.contracts.conditioning import Conditioning
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
PROMPT = "a red circle above a blue square"
_GUIDANCE, _UNGUIDED = 5.0, 0.0
PIPELINES = {
    "sd15": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "flux": "FluxPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "z-image": "ZImagePipeline",
    "qwen-image": "QwenImagePipeline",
}
"""Model -> class of diffusers that runs it."""
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
    def follows(self) -> Conditioning:
        """How its pictures follow a prompt."""
        return conditioning.of(PIPELINES[self.model])

    @property
    def guidance(self) -> float:
        """The number that is asked for."""
        return _UNGUIDED if self.plain else _GUIDANCE

    @property
    def guided(self) -> bool:
        """Whether the denoiser sees each picture twice in a call."""
        return self.follows.is_guided(self.guidance)

    @property
    def tokens(self) -> int:
        """Of the prompt, as a plan counts them."""
        most = self.follows.tokens or conditioning.CLIP_TOKENS
        return self.follows.tokens_of(PROMPT, most)

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
    Point("sd3", 1024, 1024),
    Point("z-image", 1024, 1024),
    Point("qwen-image", 1024, 1024),
)
HELD_OUT = (
    Point("sdxl", 1216, 768),
    Point("sd15", 576, 576),
    Point("flux", 1152, 1152),
    Point("sd3", 1216, 832),
    Point("z-image", 1280, 832),
    Point("qwen-image", 1328, 1328),
    Point("sdxl", 960, 960, 2),
    Point("sd15", 576, 704, 5),
    Point("flux", 832, 832, 2),
    Point("sd3", 896, 896, 2),
    Point("z-image", 768, 768, 2),
    Point("qwen-image", 832, 832, 2),
    Point("sdxl", 1600, 1216),
    Point("sdxl", 1600, 1216, 1, TILED),
    Point("sd15", 1280, 1280),
    Point("sd15", 1280, 1280, 1, TILED),
    Point("flux", 1280, 960, 1, TILED),
    Point("sd3", 1536, 1280, 1, TILED),
    Point("z-image", 1536, 1088, 1, TILED),
    Point("sdxl", 832, 704, 4),
    Point("sdxl", 832, 704, 4, SLICED),
    Point("sd15", 960, 960, 2),
    Point("flux", 1216, 832),
    Point("sd3", 768, 960),
    Point("z-image", 832, 1152, 1, (), "worker", True),
    Point("qwen-image", 928, 1664),
    Point("sdxl", 1280, 1024, 2, SLICED),
    Point("sdxl", 576, 576),
    Point("sd15", 1152, 640, 4, SLICED),
    Point("flux", 1728, 1152),
    Point("sdxl", 1472, 1088),
    Point("sdxl", 960, 1344, 1, (), "worker", True),
    Point("sd15", 896, 512, 3),
    Point("flux", 640, 896),
    Point("sdxl", 1216, 960, 2, TILED),
    Point("sd15", 1792, 1344),
    Point("sd15", 1792, 1344, 1, TILED),
    Point("sdxl", 1920, 1920),
    Point("sdxl", 1920, 1920, 1, TILED),
    Point("flux", 640, 640, 5),
    Point("sd15", 704, 704, 1, (), "worker", True),
    Point("sdxl", 832, 704, 4, BOTH),
    Point("sd15", 832, 1088, 2, BOTH),
    Point("flux", 704, 960, 3, SLICED),
    Point("sdxl", 1088, 832, 3),
    Point("sd15", 576, 448, 8),
    Point("sdxl", 704, 512, 1, ON_CPU),
    Point("sd15", 384, 640, 1, ON_CPU),
)
COMPARED = tuple(
    point._replace(segments=OTHER)
    for point in (
        Point("sdxl", 1024, 1024),
        Point("flux", 1024, 1024),
        Point("sdxl", 1600, 1216),
        Point("sd15", 1024, 1024),
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
    """All points, those first that tell most: what was never measured before what is compared."""
    return Plan((*FITTED, *HELD_OUT, *COMPARED), frozenset(FITTED))


def rehearsal() -> Plan:
    """Small points, to be run without a GPU: one for each model and way to decode, and one that is
    fitted for each model."""
    fitted = tuple(Point(model, 64, 64) for model in PIPELINES)
    ways = dict.fromkeys(
        (point.model, point.mitigations, point.images > 1) for point in HELD_OUT if not point.plain
    )
    held = tuple(
        Point(model, 128, 64, 2 if several else 1, mitigations)
        for model, mitigations, several in ways
    )
    return Plan((*fitted, *held), frozenset(fitted))
