"""A folder of pictures as one HTML page that needs nothing else: no script, no server."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mysticanvas.session.image import Image

_FIGURE = Template("""\
<figure>
  <img src="data:image/png;base64,$png" alt="$prompt" width="$width" height="$height">
  <figcaption>$prompt<small>seed $seed · $width×$height · $request</small>
    <details><summary>code</summary><pre>$code</pre></details>
  </figcaption>
</figure>""")


def write(path: Path, title: str, images: Iterable[Image]) -> Path:
    """Write the page; the pictures are inside it.

    Args:
        path: the file to write; one that is there already is replaced in one step.
        title: heading of the page, plain text.
    """
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=html.escape(title), figures="\n".join(_figure(image) for image in images)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_text(page, encoding="utf-8")
    return fresh.replace(path)


def _figure(image: Image) -> str:
    return _FIGURE.substitute(
        png=base64.b64encode(image.path.read_bytes()).decode(),
        prompt=html.escape(image.prompt),
        width=image.width,
        height=image.height,
        seed=image.seed,
        request=image.recipe.request_hash[:8],
        code=html.escape(image.recipe.to_code()),
    )
