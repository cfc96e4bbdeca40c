"""The picture that both sides make, and the home that it is made in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mysticanvas import Canvas, Recipe
from mysticanvas.environment import engine_environment
from mysticanvas.settings import data_folder

STARTER = data_folder() / "starter" / "image" / "model"
PROMPT = "a red circle above a blue square"
# It would be imported in the midst of what is measured; the part that is about it has it.
os.environ.setdefault("MYSTICANVAS_SPARE_WORKER", "false")
SILENT = {"MYSTICANVAS_PROGRESS": "off"}


class Subject(NamedTuple):
    """A default picture, in a home whose worker has the model loaded."""

    home: Path
    model: Path
    recipe: Recipe

    def ours(self, seed: int) -> dict[str, Any]:
        """The order for `benchmarks.script`."""
        return {"arguments": {"prompt": PROMPT, "preset": str(self.model), "seed": seed}}

    def theirs(self, seed: int, path: Path) -> dict[str, Any]:
        """The order for `benchmarks.direct`: the same picture."""
        names = {
            "prompt", "negative_prompt", "width", "height", "num_inference_steps", "guidance_scale"
        }  # fmt: skip
        arguments = self.recipe.params.model_dump(include=names)
        return {"arguments": arguments, "seed": seed, "path": str(path)}

    @property
    def direct(self) -> tuple[str, ...]:
        """The arguments of `benchmarks.direct`: device, precision and threads of our worker."""
        made = self.recipe.environment
        assert made is not None, "a picture that was made has an environment"
        device = made.device.partition(":")[0]
        return (str(self.model), device, made.dtype, str(made.threads))

    @property
    def environment(self) -> dict[str, str]:
        """The environment that our worker computes in."""
        made = self.recipe.environment
        assert made is not None, "a picture that was made has an environment"
        return engine_environment(made.threads)


@contextmanager
def new_home() -> Iterator[Path]:
    """An empty home; what runs in it is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="mysticanvas-bench-") as folder:
        home = Path(folder) / "home"
        try:
            yield home
        finally:
            with Canvas(home=home) as canvas:
                canvas.shutdown(force=True)


@contextmanager
def warm(model: Path) -> Iterator[Subject]:
    """A home in which the default picture of a model was made before."""
    with new_home() as home:
        with Canvas(home=home) as canvas:
            image = canvas.generate(PROMPT, preset=str(model), seed=0)
        yield Subject(home, model, image.recipe)
