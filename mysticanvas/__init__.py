"""MystiCanvas: make, understand, find again and reproduce pictures with local models.

    from mysticanvas import Canvas

    canvas = Canvas()
    canvas.generate("a red circle above a blue square")

Names are imported when they are first used: `import mysticanvas` itself loads next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mysticanvas.contracts.presets import (
        ImagePreset as ImagePreset,
        LLMPreset as LLMPreset,
    )
    from mysticanvas.contracts.recipe import Recipe as Recipe
    from mysticanvas.errors import (
        Conflict as Conflict,
        DoesNotFit as DoesNotFit,
        HubUnavailable as HubUnavailable,
        InvalidRequest as InvalidRequest,
        JobCancelled as JobCancelled,
        ModelFileError as ModelFileError,
        MystiCanvasError as MystiCanvasError,
        NotFound as NotFound,
        OrchestratorUnavailable as OrchestratorUnavailable,
        OutOfMemory as OutOfMemory,
        PermissionDenied as PermissionDenied,
        PresetError as PresetError,
        Stopped as Stopped,
        StoreBusy as StoreBusy,
        StoreDamaged as StoreDamaged,
        StoreError as StoreError,
        StoreFull as StoreFull,
        StoreLocked as StoreLocked,
        StoreTooNew as StoreTooNew,
        WorkerCrashed as WorkerCrashed,
    )
    from mysticanvas.session.canvas import Canvas as Canvas
    from mysticanvas.session.image import Image as Image
    from mysticanvas.session.images import Images as Images
    from mysticanvas.session.job import Job as Job
    from mysticanvas.session.reproduction import Reproduction as Reproduction

__version__ = "0.1.0"

_HOMES = {
    "mysticanvas.session.canvas": ("Canvas",),
    "mysticanvas.session.image": ("Image",),
    "mysticanvas.session.images": ("Images",),
    "mysticanvas.session.job": ("Job",),
    "mysticanvas.session.reproduction": ("Reproduction",),
    "mysticanvas.contracts.presets": ("ImagePreset", "LLMPreset"),
    "mysticanvas.contracts.recipe": ("Recipe",),
    "mysticanvas.errors": (
        "Conflict",
        "DoesNotFit",
        "HubUnavailable",
        "InvalidRequest",
        "JobCancelled",
        "ModelFileError",
        "MystiCanvasError",
        "NotFound",
        "OrchestratorUnavailable",
        "OutOfMemory",
        "PermissionDenied",
        "PresetError",
        "Stopped",
        "StoreBusy",
        "StoreDamaged",
        "StoreError",
        "StoreFull",
        "StoreLocked",
        "StoreTooNew",
        "WorkerCrashed",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
