"""Making a picture again, and saying how the two compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mysticanvas.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mysticanvas.contracts.recipe import Recipe
    from mysticanvas.session.image import Image
    from mysticanvas.session.original import Original


class Difference(NamedTuple):
    """One thing that was not the same the second time."""

    what: str
    """Such as `threads`, `torch` or `unet/diffusion_pytorch_model.safetensors`."""
    original: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.original} -> {self.now}"


class Reproduction:
    """What came of making a picture again; a notebook shows the picture.

    Args:
        original: what was made again.
        made: the new picture; None if its pixels are those of the original, which is there and
            kept alone.
    """

    def __init__(self, original: Original, made: Image | None) -> None:
        self._original = original
        self._made = made

    @property
    def image(self) -> Image:
        """The new picture; where the pixels are identical, the original, if that is there."""
        image = self._made or self._original.image
        assert image is not None, "a job without a new picture had an original to match"
        return image

    @property
    def original(self) -> Image | None:
        """What it is compared with; None if only a recipe was given, and no picture has it."""
        return self._original.image

    @property
    def matches(self) -> bool | None:
        """Whether the pixels are identical; None if there was nothing to compare with."""
        if self._original.image is None:
            return None
        return self._made is None or self._made.pixels_sha256 == self._original.pixels_sha256

    @property
    def max_abs_diff(self) -> int | None:
        """The largest difference of two pixels in any channel, of 255; 0 if they are identical,
        None if there is nothing to compare, the sizes differ or a file cannot be read."""
        if self._made is None or self.matches:
            return 0
        return None if self.original is None else _max_abs_diff(self.original, self._made)

    @property
    def differences(self) -> list[Difference]:
        """What else was different: environment, library versions, model files. It is empty for
        identical pixels, and may be for others: not everything that matters is recorded."""
        found = []
        if self._made is not None and not self.matches:
            found = compare(self._original.recipe, self._made.recipe)
        if self._original.edited:
            found.insert(0, Difference("pixels of the file", "as made", "changed afterwards"))
        return found

    def _distance(self) -> str:
        """How far apart the two are, in words."""
        levels, one, other = self.max_abs_diff, self.original, self.image
        if levels is not None:
            return f"at most {levels} of 255 levels apart"
        if one is not None and one.size == other.size:
            return "by how much cannot be told, since a file cannot be read"
        return "another size"

    def _repr_png_(self) -> bytes:
        return self.image._repr_png_()

    def __repr__(self) -> str:
        if self.matches is None:
            return "<Reproduction of a recipe; nothing to compare with>"
        if self.matches:
            return "<Reproduction identical>"
        how = self._distance()
        causes = "; ".join(str(difference) for difference in self.differences)
        return f"<Reproduction differs: {how}{f' ({causes})' if causes else ''}>"


def compare(original: Recipe, now: Recipe) -> list[Difference]:
    """What of two recipes of the same request differs, in the order in which it matters."""
    changes = [*_changes(original.model_files, now.model_files)]
    # A recipe written by hand says nothing of where it ran.
    if original.environment is not None:
        before, after = _run(original), _run(now)
        if "attention" not in before:
            # Nor does one of a version that did not record it say how that was computed.
            after.pop("attention", None)
        changes += _changes(before, after)
    return changes


def _run(recipe: Recipe) -> dict[str, str]:
    """What the run brought, by name."""
    run = {"mitigations": ", ".join(recipe.mitigations) or "none"}
    environment = recipe.environment
    if environment is not None:
        run |= {
            "device": environment.device,
            "dtype": environment.dtype,
            "threads": str(environment.threads),
            **environment.versions,
        }
        if environment.attention is not None:
            run["attention"] = environment.attention
    return run


def _changes(original: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    for what in {**original, **now}:
        before, after = original.get(what, "none"), now.get(what, "none")
        if before != after:
            yield Difference(what, _brief(before), _brief(after))


def _brief(value: str) -> str:
    """A SHA-256 in its first digits; anything else as it is."""
    return value[:12] if len(value) == 64 else value


def _max_abs_diff(one: Image, other: Image) -> int | None:
    import numpy as np

    try:
        first, second = one.numpy().astype(np.int16), other.numpy().astype(np.int16)
    except NotFound:
        return None
    return int(np.abs(first - second).max()) if first.shape == second.shape else None
