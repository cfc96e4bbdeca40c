"""An engine without a model: it draws a pattern, in as many steps as it is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from PIL import Image

from mysticanvas import logs
from mysticanvas.contracts.recipe import Environment, ResolvedParams
from mysticanvas.contracts.worker import Finished, GenerateTask, Loaded, ModelRef, Previewed
from mysticanvas.workers import pictures
from mysticanvas.workers.engine import Control, Emit, Options
from mysticanvas.workers.report import Report
from mysticanvas_echo.drawing import draw
from mysticanvas_echo.model import EchoModel, read_model

DISTRIBUTION = "mysticanvas-echo"
_PREVIEW_PX = 32
_log = logs.get(__name__)


class EchoEngine:
    """Implements `mysticanvas.workers.engine.Engine`.

    Args:
        options: what every engine is told.
        pause: waits for some seconds, once a step.
    """

    def __init__(self, options: Options, pause: Callable[[float], None] = time.sleep) -> None:
        self._images = options.images
        self._pause = pause
        self._loaded: tuple[str, EchoModel] | None = None
        self._environment = Environment(
            device="cpu",
            dtype="uint8",
            threads=options.threads,
            versions={DISTRIBUTION: metadata.version(DISTRIBUTION)},
        )

    @property
    def models(self) -> list[str]:
        return [] if self._loaded is None else [self._loaded[0]]

    def load(self, model: ModelRef) -> Loaded:
        start = time.perf_counter()
        self._ensure(model)
        return Loaded(
            digest=model.digest,
            device=self._environment.device,
            dtype=self._environment.dtype,
            seconds=time.perf_counter() - start,
        )

    def unload(self) -> None:
        self._loaded = None

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished:
        report = Report(emit, control, synchronize=lambda: None)
        pictures.require_ids(task)
        with report.stage("load"):
            model = self._ensure(task.model)
        with report.stage("denoise"):
            images = self._draw(task, model, report)
        with report.stage("save"):
            for index, image in enumerate(images):
                if task.only_index in (None, index):
                    report.emit(pictures.made(task, index, image, self._environment, self._images))
        return Finished(seconds=report.seconds)

    def _ensure(self, ref: ModelRef) -> EchoModel:
        if self._loaded is None or self._loaded[0] != ref.digest:
            self._loaded = (ref.digest, read_model(Path(ref.path)))
            _log.info("model_loaded", digest=ref.digest)
        return self._loaded[1]

    def _draw(self, task: GenerateTask, model: EchoModel, report: Report) -> list[Image.Image]:
        params = task.recipe.params
        images = [_picture(params, index) for index in range(params.num_images)]
        for step in range(1, params.num_inference_steps + 1):
            self._pause(model.seconds_per_step)
            report.step("denoise", step, params.num_inference_steps)
            if report.wants_previews and step < params.num_inference_steps:
                small = images[task.only_index or 0].resize((_PREVIEW_PX, _PREVIEW_PX))
                report.emit(Previewed(step=step, webp=pictures.encode_webp(small)))
        return images


def _picture(params: ResolvedParams, index: int) -> Image.Image:
    return draw(params.prompt, params.seed + index, (params.width, params.height))
