"""What the jobs of the kind `weigh` do: tell what the weights of presets will take.

By headers alone, in the process that may parse them, and in the format that suits the device. A
job that draws with a preset has had its model looked into, so that nothing is left to do here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from mysticanvas import logs
from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.presets import ImagePreset, LLMPreset, Preset
from mysticanvas.errors import JobCancelled, MystiCanvasError
from mysticanvas.orchestrator import hub
from mysticanvas.orchestrator.arbiter import formats
from mysticanvas.orchestrator.arbiter.profiles import Profiles, Subject
from mysticanvas.orchestrator.asking import NO_ANSWER
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.context import Pace
from mysticanvas.store import Store

MIB = 1 << 20
MAX_FILES = 10_000
"""Files of a preset that are looked at for changes."""
_log = logs.get(__name__)


class Weighing:
    """Keeps `vram_weights_mib` of all presets.

    Args:
        store: has them.
        presets: know their files.
        profiles: find out what image models take.
        inspector: says what a language model's file holds.
        device: what the worker computes on, as far as it is known.
    """

    def __init__(
        self,
        store: Store,
        presets: Presets,
        profiles: Profiles,
        inspector: Inspector,
        device: Callable[[], DeviceKind | None],
    ) -> None:
        self._store = store
        self._presets = presets
        self._profiles = profiles
        self._inspector = inspector
        self._device = device

    def run(self, pace: Pace) -> dict[str, JsonValue]:
        """Weigh the presets whose files, format or device are not what they were weighed with.

        Returns:
            `weighed`: how many were.

        Raises:
            JobCancelled: it was to end; what was found is kept.
        """
        weighed = self._weigh_language(pace)
        # A worker that comes up does not know it yet, and is asked again.
        if (device := self._device()) is not None:
            weighed += self._weigh_images(device, pace)
        return {"weighed": weighed}

    def _weigh_images(self, device: DeviceKind, pace: Pace) -> int:
        before, count = self._store.presets.weighed(), 0
        for preset in self._store.presets.list():
            pace.check()
            key = sha256_of([list(self._files(preset)), preset.dtype, device])
            if before.get(preset.name) != key:
                told = _told(preset, functools.partial(self._image_bytes, preset, device, pace))
                self._store.presets.weigh(preset, told.mib, key if told.is_final else None)
                count += 1
        return count

    def _weigh_language(self, pace: Pace) -> int:
        before, count = self._store.llm_presets.weighed(), 0
        for preset in self._store.llm_presets.list():
            pace.check()
            key = sha256_of([each for path in _language_files(preset) for each in _looks(path)])
            if before.get(preset.name) != key:
                told = _told(preset, functools.partial(self._language_bytes, preset))
                self._store.llm_presets.weigh(preset, told.mib, key if told.is_final else None)
                count += 1
        return count

    def _image_bytes(self, preset: ImagePreset, device: DeviceKind, pace: Pace) -> int:
        files = self._presets.files(preset)
        subject = Subject(
            files.path,
            self._presets.digest_if_known(preset),
            formats.running(preset.dtype, preset.architecture or "", device),
            device,
            files.unet,
            files.vae,
            files.clip,
        )
        return sum(self._profiles.weights(subject, pace.check).values())

    def _language_bytes(self, preset: LLMPreset) -> int:
        files = _language_files(preset) or [hub.gguf(preset.model)]
        return sum(self._inspector.inspect(path).weights_bytes or 0 for path in files)

    def _files(self, preset: ImagePreset) -> Iterator[list[JsonValue]]:
        try:
            files = self._presets.files(preset)
        except MystiCanvasError:
            return
        for path in (files.path, files.unet, files.vae, *files.clip):
            if path is not None:
                yield from _looks(Path(path))


def _language_files(preset: LLMPreset) -> list[Path]:
    """That of the model and that with which it sees; none where a hub id is not in the cache."""
    try:
        model = hub.gguf(preset.model)
    except MystiCanvasError:
        return []
    return [model, *([] if preset.mmproj is None else [Path(preset.mmproj)])]


class _Told(NamedTuple):
    mib: float | None
    """None where it cannot be told."""
    is_final: bool
    """Whether it is so until something of the preset changes."""


def _told(preset: Preset, count: Callable[[], int]) -> _Told:
    try:
        return _Told(count() / MIB, is_final=True)
    except JobCancelled:
        raise
    except MystiCanvasError as error:
        _log.info("preset_not_weighed", preset=preset.name, reason=error.code)
        return _Told(None, is_final=not isinstance(error.__cause__, NO_ANSWER))


def _looks(path: Path) -> Iterator[list[JsonValue]]:
    """How a file, or all in a folder, look, without reading them."""
    files = sorted(path.rglob("*"))[:MAX_FILES] if path.is_dir() else [path]
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        # Its last change too, since one that could not be read may have become readable.
        yield [str(file), status.st_size, status.st_mtime_ns, status.st_ctime_ns]
