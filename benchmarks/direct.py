"""A picture by diffusers alone: the process that MystiCanvas is compared with.

Its arguments say which model to load and how, and each order what to draw.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks import child


def load(folder: str, device: str, dtype: str, threads: int) -> Any:
    """The pipeline, as diffusers' documentation says to load it."""
    import torch
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    torch.set_num_threads(threads)
    pipeline_class: Any = DiffusionPipeline
    pipeline = pipeline_class.from_pretrained(
        folder, dtype=getattr(torch, dtype), use_safetensors=True
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any, arguments: dict[str, Any], seed: int, path: str) -> child.Answer:
    """Make a picture and save it; the seconds of the call alone, and with the saving."""
    import torch

    began = time.perf_counter()
    picture = pipeline(**arguments, generator=torch.Generator().manual_seed(seed)).images[0]
    called = time.perf_counter()
    picture.save(path)
    return {"call_s": called - began, "saved_s": time.perf_counter() - began, "path": path}


def main(folder: str, device: str, dtype: str, threads: str) -> None:
    """Load, then draw to order."""
    pipeline = load(folder, device, dtype, int(threads))
    child.serve(lambda order: draw(pipeline, **order))


if __name__ == "__main__":
    main(*sys.argv[1:])
