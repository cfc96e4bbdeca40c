"""One page of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

from mysticanvas.session import grid, sheet
from mysticanvas.session.image import Image
from mysticanvas.session.images import Images

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("id", "created_at", "project", "prompt", "seed", "width", "height", "job_id", "path")
_PARAMS = ("negative_prompt", "num_inference_steps", "guidance_scale", "scheduler")


class Page(Sequence[Image]):
    """Pictures in order, and the way to the next ones; a notebook shows them as thumbnails.

    Walking all pages: `while page: ...; page = page.next()`.

    Args:
        items: the pictures.
        next_cursor: where the next page begins; None on the last.
        turn: gets the page of a cursor.
        count: counts the pictures on all pages together; asked once, when that is wanted.
        remark: what is said where none are found.
    """

    def __init__(
        self,
        items: Images,
        next_cursor: str | None,
        turn: Callable[[str], Page],
        count: Callable[[], int],
        remark: str = "",
    ) -> None:
        self._items = items
        self._next_cursor = next_cursor
        self._turn = turn
        self._count = count
        self._remark = remark
        self._total: int | None = None

    @property
    def items(self) -> Images:
        """The pictures of this page."""
        return self._items

    @property
    def next_cursor(self) -> str | None:
        """What to pass as `cursor` for the next page; None on the last."""
        return self._next_cursor

    @property
    def total(self) -> int:
        """Pictures on all pages together, when this was first asked for."""
        if self._total is None:
            self._total = self._count()
        return self._total

    def next(self) -> Page:
        """The page after this one; behind the last, an empty one."""
        if self.next_cursor is None:
            return Page(Images(), None, self._turn, self._count)
        return self._turn(self.next_cursor)

    def to_pandas(self) -> pd.DataFrame:
        """The pictures of this page as a table, a row each."""
        import pandas as pd

        rows = [
            {
                **{name: getattr(image, name) for name in _COLUMNS},
                "preset": image.recipe.preset,
                **{name: getattr(image.recipe.params, name) for name in _PARAMS},
            }
            for image in self._items
        ]
        return pd.DataFrame(rows, columns=[*_COLUMNS, "preset", *_PARAMS])

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Images: ...
    def __getitem__(self, index: int | slice) -> Image | Images:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def _repr_html_(self) -> str:
        nothing = ": ".join(filter(None, ["nothing found", self._remark]))
        none = "no more pictures" if self.total else nothing
        rest = self._rest() if self._items else ""
        shown = sheet.of(self._items[: grid.MAX_SHOWN], none=none)
        return f"{shown}<p>{rest}</p>" if rest else shown

    def _rest(self) -> str:
        """Which of all pictures are shown, and where others are; empty if all are shown."""
        said = []
        if len(self) > grid.MAX_SHOWN:
            said.append(f"the first {grid.MAX_SHOWN} of this page")
        if len(self) < self.total:
            said.append(f"a page of {len(self):,}, of {self.total:,} pictures")
        if self.next_cursor is not None:
            said.append(".next() is the next page")
        return " · ".join(said)

    def __repr__(self) -> str:
        said = f" {self._remark}" if self._remark and not self.total else ""
        return f"<Page {len(self)} of {self.total}>{said}"
