"""What stands for a model: a diffusers folder without weights, whose index says how to behave."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

from mysticanvas.errors import ModelFileError

PIPELINE = "EchoPipeline"
MODEL = str(Path(__file__).parent / "model")
"""A folder that takes no time."""
_INDEX = "model_index.json"
_OPTIONS = "_echo"


class EchoModel(NamedTuple):
    """How the engine behaves with it."""

    seconds_per_step: float = 0.0


def make_model(folder: str | Path, *, seconds_per_step: float = 0.0) -> str:
    """Write a model folder, to be given as `preset`; its path.

    Args:
        folder: is made, with its parents.
        seconds_per_step: how long each step takes, 0 or more.
    """
    index = {
        "_class_name": PIPELINE,
        _OPTIONS: {"seconds_per_step": seconds_per_step},
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    scheduler = Path(folder) / "scheduler"
    scheduler.mkdir(parents=True, exist_ok=True)
    (scheduler / "scheduler_config.json").write_text('{"_class_name": "DDIMScheduler"}\n')
    (Path(folder) / _INDEX).write_text(json.dumps(index, indent=2) + "\n")
    return str(folder)


def read_model(folder: Path) -> EchoModel:
    """Read what `make_model` wrote.

    Raises:
        ModelFileError: it is none of ours, or is damaged.
    """
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        if index["_class_name"] != PIPELINE:
            raise ModelFileError(f"{folder} is a {index['_class_name']}, not an {PIPELINE}.")
        seconds = float(index[_OPTIONS]["seconds_per_step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{folder / _INDEX} cannot be read: {error}.",
            hint="mysticanvas_echo.make_model(folder) writes such a folder.",
        ) from error
    if not 0 <= seconds < math.inf:
        raise ModelFileError(f"{folder / _INDEX}: seconds_per_step is {seconds}, not 0 or more.")
    return EchoModel(seconds)
