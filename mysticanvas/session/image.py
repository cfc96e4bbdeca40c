"""Pictures as a notebook holds them: snapshots of what the store knows."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mysticanvas.contracts import thumbnails
from mysticanvas.contracts.ids import short
from mysticanvas.contracts.params import refused
from mysticanvas.errors import NotFound
from mysticanvas.session import arguments, decoding, grid, saving, tagging

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike
    from PIL import Image as Pillow

    from mysticanvas.contracts.images import ImageCard, ImageChanges, ImageRecord
    from mysticanvas.contracts.recipe import Recipe
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.details import Details


class Image:
    """A picture with everything that is known of it; a notebook shows the picture.

    Attributes do not change by themselves: `.refresh()` asks the store again.

    Args:
        known: the picture as the store has it, whole or as a page's card.
        details: where a card gets the rest when it is first needed.
    """

    def __init__(
        self,
        known: ImageCard | ImageRecord,
        connection: Connection,
        *,
        reused: bool = False,
        details: Details | None = None,
        score: float | None = None,
    ) -> None:
        self._known = known
        self._connection = connection
        self._reused = reused
        self._details = details
        self._score = score

    @property
    def id(self) -> str:
        """Its id in the store; `canvas.image(id)` finds it again."""
        return self._known.id

    @property
    def path(self) -> Path:
        """The PNG in the home directory. Do not change it: `save` makes copies."""
        return self._connection.paths.root / self._known.path

    @property
    def width(self) -> int:
        """Pixels across."""
        return self._known.width

    @property
    def height(self) -> int:
        """Pixels down."""
        return self._known.height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as Pillow has it."""
        return (self.width, self.height)

    @property
    def mode(self) -> str:
        """Pillow's name for the kind of pixel, such as `RGB`."""
        return self._known.mode

    @property
    def created_at(self) -> datetime:
        """When it was asked for, in UTC."""
        return self._known.created_at

    @property
    def prompt(self) -> str:
        """What it was made from, in words."""
        return self._known.prompt

    @property
    def seed(self) -> int:
        """The seed of this very picture."""
        return self._known.seed

    @property
    def recipe(self) -> Recipe:
        """Everything that decides its pixels."""
        return self._record.recipe

    @property
    def project(self) -> str:
        """The namespace within the home that it is in."""
        return self._known.project

    @property
    def parent(self) -> str | None:
        """Id of the picture that it was made from; None if from none."""
        return self._known.parent

    @property
    def job_id(self) -> str:
        """Id of the job that made it."""
        return self._known.job_id

    @property
    def pixels_sha256(self) -> str:
        """SHA-256 over mode, size and pixels: equal for equal pixels, whatever the file."""
        return self._record.pixels_sha256

    @property
    def style(self) -> str | None:
        """Name of the style that it was made with; None if with none."""
        return self._known.style

    @property
    def caption(self) -> str | None:
        """What is in the picture, in words; None until somebody says so."""
        return self._record.caption

    @property
    def starred(self) -> bool:
        """Whether it is starred. Can be set, which is stored at once."""
        return self._known.starred

    @starred.setter
    def starred(self, starred: bool) -> None:
        from mysticanvas.contracts.images import ImageChanges

        self._change(ImageChanges(starred=arguments.flag("starred", starred)))

    @property
    def rating(self) -> int | None:
        """0 to 5; None until it is rated."""
        return self._known.rating

    def rate(self, rating: int) -> None:
        """Rate it, which is stored at once.

        Args:
            rating: 0 to 5.

        Raises:
            InvalidRequest: it is not a whole number from 0 to 5.
            NotFound: the picture is no longer in the store.
        """
        from mysticanvas.contracts.images import ImageChanges

        self._change(ImageChanges(rating=arguments.rating(rating)))

    @property
    def reused(self) -> bool:
        """Whether `reuse` found it, instead of making it."""
        return self._reused

    @property
    def score(self) -> float | None:
        """How well it meets the search that found it (BM25); None if none ranked it."""
        return self._score

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of its tags, in order; the store is asked each time."""
        return tagging.of(self)

    def add_tags(self, *names: str) -> None:
        """File it under these tags, which are made if they are new. An alias gives its tag.

        Raises:
            InvalidRequest: a name is empty, longer than 200 characters or has control characters.
            NotFound: it is no longer in the store.
        """
        tagging.add(self._connection, [self], names)

    def remove_tags(self, *names: str) -> None:
        """Take these tags away, whoever gave them; one that it does not have is left out.

        Raises:
            InvalidRequest, NotFound: as for `add_tags`.
        """
        tagging.remove(self._connection, [self], names)

    def pil(self) -> Pillow.Image:
        """The picture as a Pillow image, which the caller may change.

        Raises:
            NotFound: the file is gone, or has no picture that can be read.
        """
        with decoding.png(self._existing()) as picture:
            picture.load()
        return picture

    def thumbnail(self, size: int = 256) -> Pillow.Image:
        """A small copy, from the home's thumbnails; made now if there is none yet.

        Args:
            size: 256 or 512, the longest side in px. A smaller picture keeps its size.

        Raises:
            InvalidRequest: there are no thumbnails of that size.
            NotFound: the picture's file is gone.
            Conflict: it takes long; ask again.
        """
        if size not in thumbnails.SIZES:
            raise refused("size", size, " or ".join(map(str, thumbnails.SIZES)))
        found = self._thumbnail_file(size)
        if found is not None:
            return found
        try:
            return decoding.webp(self._connection.call(lambda api: api.thumbnail(self.id, size)))
        except NotFound:
            # A picture of another home, or a deleted one: its file may be there all the same.
            picture = self.pil()
            picture.thumbnail((size, size))
            return picture

    def numpy(self) -> np.ndarray[Any, Any]:
        """The pixels as an array of bytes: height × width × channels.

        Raises:
            NotFound: as for `pil`.
        """
        import numpy as np

        return np.array(self.pil())

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("The pixels are read from a file, so an array of them is a copy.")
        pixels = self.numpy()
        return pixels if dtype is None else pixels.astype(dtype)

    def save(self, path: str | Path, metadata: bool = True) -> Path:
        """Write a copy.

        Args:
            path: a file name that ends in .png, .jpg, .jpeg or .webp, or a folder.
            metadata: whether the recipe goes with it. With it, a PNG is the same file byte by
                byte, and the others carry the parameters as EXIF text.

        Returns:
            The absolute path of the copy.

        Raises:
            InvalidRequest: the suffix or the folder is not usable, a JPEG has no room for a recipe
                this long, or `metadata` is neither True nor False.
            NotFound: the picture's own file is gone, or cannot be read.
        """
        wanted = arguments.flag("metadata", metadata)
        file = saving.target(path, f"{self.id}.png")
        saving.save(self._existing(), self.recipe, file, wanted)
        return file

    def show(self) -> None:
        """Show it: in the cell of a notebook, else in the system's viewer."""
        from mysticanvas.session.notebook import display, in_notebook

        if in_notebook():
            display(self)
        else:
            self.pil().show()

    def refresh(self) -> Image:
        """Ask the store again; returns the image itself, brought up to date.

        Raises:
            NotFound: it is no longer in the store.
        """
        self._known = self._connection.call(lambda api: api.image(self.id))
        return self

    @property
    def _record(self) -> ImageRecord:
        """All that is known of it; a card asks for the rest, once."""
        from mysticanvas.contracts.images import ImageRecord

        if not isinstance(self._known, ImageRecord):
            from mysticanvas.session.details import Details

            details = self._details or Details([self.id], self._connection)
            self._known = details.of(self.id)
        return self._known

    def _change(self, changes: ImageChanges) -> None:
        self._known = self._connection.call(lambda api: api.change_image(self.id, changes))

    def delete(self) -> None:
        """Delete it: no page and no search shows it any more.

        Its files are removed some days later (`MYSTICANVAS_DELETED_GRACE_DAYS`, 7 by default);
        until then `restore` brings it back. Deleting it once more changes nothing.
        """
        self._connection.call(lambda api: api.delete_image(self.id))

    def restore(self) -> Image:
        """Bring it back after `delete`; returns the image itself.

        Raises:
            NotFound: its files are gone.
        """
        self._known = self._connection.call(lambda api: api.restore_image(self.id))
        return self

    def _tile(self) -> Pillow.Image:
        """What stands for it among others: if it is to be scaled down, its thumbnail will do. One
        whose file is missing or damaged must not hide the others."""
        small = self._thumbnail_file(grid.CELL_PX) if max(self.size) > grid.CELL_PX else None
        if small is not None:
            return small
        try:
            return self.pil()
        except NotFound as error:
            state = "damaged" if decoding.why(error) else "missing"
            return grid.placeholder(self.size, f"file {state}\n{short(self.id)}")

    def _address(self) -> str:
        """A `data:` address of what stands for it among others, scaled down to `grid.CELL_PX`: its
        thumbnail, if there is one."""
        kind, content = "webp", self._thumbnail_content(grid.CELL_PX)
        if content is None:
            kind, content = "png", grid.png(grid.scaled(self._tile()))
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    def _thumbnail_content(self, size: int) -> bytes | None:
        """The file of the thumbnail; None if there is none, or none that can be read."""
        try:
            content = (self._connection.paths.root / thumbnails.path(self.id, size)).read_bytes()
            decoding.webp(content)
        except (OSError, NotFound):
            return None
        return content

    def _thumbnail_file(self, size: int) -> Pillow.Image | None:
        """The thumbnail that is there; None as above."""
        content = self._thumbnail_content(size)
        return None if content is None else decoding.webp(content)

    def _existing(self) -> Path:
        path, root = self.path, self._connection.paths.root
        if path.is_file():
            return path
        if not root.is_dir():
            raise NotFound(
                f"The file of image {short(self.id)} cannot be read here: there is no {root}.",
                hint="If that is a home on another machine, Canvas(url=…, token=…, home=…) says "
                "where it is seen from this one.",
            )
        raise NotFound(
            f"The file of image {short(self.id)} is gone: {path}.",
            hint="canvas.reproduce(image) makes it again.",
        )

    def _repr_png_(self) -> bytes:
        return self._existing().read_bytes()

    def __repr__(self) -> str:
        request = self._known.request_hash[:8]
        return f"<Image {self.width}×{self.height} seed={self.seed} request={request}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)
