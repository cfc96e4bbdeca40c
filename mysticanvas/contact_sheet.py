"""Pictures as HTML pages that need nothing else: no script, no server."""

from __future__ import annotations

import base64
import html
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from mysticanvas import durable

if TYPE_CHECKING:
    from mysticanvas.contracts.recipe import Recipe
    from mysticanvas.session.image import Image

_FIGURE = Template("""\
<figure>
  <img src="$source" alt="$prompt" width="$width" height="$height" loading="lazy">
  <figcaption>$prompt<small>seed $seed · $width×$height · $request</small>
    <details><summary>code</summary><pre>$code</pre></details>
  </figcaption>
</figure>""")


class Figure(NamedTuple):
    """A picture on a page.

    `source` is what the browser loads: a `data:` address, or a path relative to the page.
    """

    source: str
    prompt: str
    width: int
    height: int
    recipe: Recipe

    def html(self) -> str:
        return _FIGURE.substitute(
            source=html.escape(self.source),
            prompt=html.escape(self.prompt),
            width=self.width,
            height=self.height,
            seed=self.recipe.seed,
            request=self.recipe.request_hash[:8],
            code=html.escape(self.recipe.to_code()),
        )


class Link(NamedTuple):
    """A way to another page: its path relative to this one, and the words to click on."""

    path: str
    words: str

    def html(self) -> str:
        target = html.escape(urllib.parse.quote(self.path))
        return f'<a href="{target}">{html.escape(self.words)}</a>'


def page(title: str, figures: Iterable[Figure], links: Iterable[Link] = ()) -> str:
    """The page as text.

    Args:
        title: its heading, plain text.
        links: ways to other pages, shown below the pictures.
    """
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(title),
        figures="\n".join(figure.html() for figure in figures),
        links="\n".join(link.html() for link in links),
    )


def write(path: Path, title: str, images: Iterable[Image]) -> Path:
    """Write one page; the pictures are inside it.

    Args:
        path: the file to write; one that is there already is replaced in one step. It is
            for the user alone, as the pictures are.
        title: heading of the page, plain text.
    """
    text = page(title, map(_embedded, images))
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, text.encode())
    return path


def _embedded(image: Image) -> Figure:
    png = base64.b64encode(image.path.read_bytes()).decode()
    source = f"data:image/png;base64,{png}"
    return Figure(source, image.prompt, image.width, image.height, image.recipe)
