"""Lists of pictures, shown as a grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from mysticanvas.contracts.refusal import refused
from mysticanvas.session import grid
from mysticanvas.session.image import Image

if TYPE_CHECKING:
    from PIL import Image as Pillow


_ALLOWED = "a list of pictures, each an Image"


class Images(Sequence[Image]):
    """A list of pictures that cannot be changed; a notebook shows them as a grid.

    Args:
        images: the pictures, in order.

    Raises:
        InvalidRequest: they are no pictures.
    """

    def __init__(self, images: Iterable[Image] = ()) -> None:
        if not isinstance(images, Iterable):
            raise refused("images", images, _ALLOWED)
        self._images = tuple(images)
        for image in self._images:
            if not isinstance(image, Image):
                raise refused("images", image, _ALLOWED)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Images: ...
    def __getitem__(self, index: int | slice) -> Image | Images:
        if isinstance(index, slice):
            return Images(self._images[index])
        return self._images[index]

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Image]:
        return iter(self._images)

    def __add__(self, other: Iterable[Image]) -> Images:
        return Images([*self._images, *other])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Images) and other._images == self._images

    def __hash__(self) -> int:
        return hash(self._images)

    def pil(self) -> Pillow.Image:
        """The grid as a Pillow image: at most 64 pictures, each at most 256 px wide and high. A
        tile stands for one whose file is missing or damaged, and says so; another one for those
        beyond 64, with their number."""
        tiles = [image._tile() for image in self._images[: grid.MAX_SHOWN]]
        more = len(self) - len(tiles)
        return grid.compose([*tiles, grid.others(tiles, more)] if more else tiles)

    def _repr_png_(self) -> bytes | None:
        return grid.png(self.pil()) if self._images else None

    def __repr__(self) -> str:
        return f"<Images {len(self)}{_common(self._images)}>"


def _common(images: Sequence[Image]) -> str:
    """What can be said of all the pictures, the same on every machine."""
    requests = {image._known.request_hash[:8] for image in images}
    return f" · seeds={seeds_text(images)} request={requests.pop()}" if len(requests) == 1 else ""


def seeds_text(images: Sequence[Image]) -> str:
    """The seeds of a batch, such as `7…10`."""
    first, last = images[0].seed, images[-1].seed
    return str(first) if first == last else f"{first}…{last}"
