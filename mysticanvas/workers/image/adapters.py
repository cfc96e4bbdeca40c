"""The LoRAs of a loaded pipeline: put on for a job and taken off again, while the model stays.

They are kept beside the weights (peft), and never added to them: weights that were changed and
changed back are not the same to the last bit, and neither are pictures.
"""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from mysticanvas.contracts import loras
from mysticanvas.contracts.memory import LORAS, MemoryPart
from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.contracts.recipe import Environment
from mysticanvas.contracts.worker import GenerateTask, ModelRef
from mysticanvas.workers.image import devices, lora_files
from mysticanvas.workers.model_files.unchanged import unchanged

_MIB = 1 << 20


class Lora(NamedTuple):
    """One that a job wants."""

    path: Path
    sha256: str
    weight: float
    hashed: tuple[HashedFile, ...] = ()
    """The file as it was when its digest was taken, where that is known."""


def environment(plain: Environment) -> Environment:
    """Where a picture with LoRAs is made: what puts them on decides pixels, too."""
    versions = {**plain.versions, "peft": importlib.metadata.version("peft")}
    return plain.model_copy(update={"versions": versions})


def wanted(task: GenerateTask) -> list[Lora]:
    """Those of a job, in the order of their roles."""
    files, weights = loras.digests(task.recipe.model_files), task.recipe.params.loras
    return [
        Lora(Path(path), sha256, weights[role], _hashed(task.model, path))
        for (role, sha256), path in zip(files.items(), task.model.loras, strict=True)
    ]


class Adapters:
    """The LoRAs of one pipeline.

    Args:
        pipeline: without any yet.
        dtype: that it runs in.
    """

    def __init__(self, pipeline: Any, dtype: torch.dtype) -> None:
        self._pipeline = pipeline
        self._dtype = dtype
        self._own = _numbers(pipeline)
        self._names: set[str] = set()
        """Of those that are there."""
        # Others ask for these while a job changes the pipeline, which they must not walk through.
        self.parts: list[MemoryPart] = []
        """What they take."""
        self.is_sound = True
        """Whether the model itself is as it was; some LoRAs widen layers of it."""

    def has(self, wanted: Sequence[Lora]) -> bool:
        """Whether nothing has to be loaded for these."""
        return all(_name(each) in self._names for each in wanted)

    def apply(self, wanted: Sequence[Lora]) -> None:
        """Have the pipeline use these and no others; what a job does not use is not kept.

        Raises:
            ModelFileError: one does not suit the pipeline, or its file is damaged, unsafe or
                another than it was. None
                is used then, and `is_sound` tells whether the model can be.
        """
        if not wanted:
            self._clear()
            return
        names = [_name(each) for each in wanted]
        try:
            for gone in [name for name in self._names if name not in names]:
                self._pipeline.delete_adapters(gone)
                self._names.remove(gone)
            for each in wanted:
                if _name(each) not in self._names:
                    with unchanged(each.hashed):
                        self._load(each)
            self._pipeline.set_adapters(names, [each.weight for each in wanted])
        except BaseException:
            self.is_sound = False
            self._clear()
            self.is_sound = _numbers(self._pipeline) == self._own
            raise
        self.parts = self._weighed()

    def _load(self, wanted: Lora) -> None:
        name, kind = _name(wanted), type(self._pipeline).__name__
        found = lora_files.read(wanted.path, kind, unet_config(self._pipeline))
        lora_files.check_config(wanted.path, found.ranks)
        self._names.add(name)
        try:
            with lora_files.several():
                self._pipeline.load_lora_weights(
                    str(wanted.path),
                    adapter_name=name,
                    local_files_only=True,
                    use_safetensors=True,
                    # So that they get the format of the model.
                    low_cpu_mem_usage=False,
                )
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise
            raise lora_files.unsuitable(wanted.path, kind, _first_line(error)) from error
        loaded = 0
        for of, tensor in _tensors(self._pipeline):
            if of == name:
                # A quantised layer says nothing of the format that it works in.
                tensor.data = tensor.data.to(self._dtype)
                loaded += tensor.numel()
        if loaded != found.numbers:
            raise lora_files.unsuitable(
                wanted.path,
                kind,
                f"of its {found.numbers:,} numbers, {loaded:,} have a place in it.",
            )
        if _numbers(self._pipeline) != self._own:
            raise lora_files.unsuitable(wanted.path, kind, "it changes the shapes of layers.")

    def _clear(self) -> None:
        if self._names:
            self._pipeline.unload_lora_weights()
            self._names.clear()
        self.parts = []

    def _weighed(self) -> list[MemoryPart]:
        size = sum(each.numel() * each.element_size() for _, each in _tensors(self._pipeline))
        device = str(self._pipeline.device)
        return [MemoryPart(name=LORAS, mib=size / _MIB, known="exact", device=device)]


def unet_config(pipeline: Any) -> Mapping[str, Any] | None:
    """The configuration of its UNet, if it has one."""
    unet = getattr(pipeline, "unet", None)
    return None if unet is None else dict(unet.config)


def _hashed(model: ModelRef, path: str) -> tuple[HashedFile, ...]:
    return tuple(each for each in model.hashed if each.path == path)


def _name(of: Lora) -> str:
    return f"lora-{of.sha256}"


def _modules(pipeline: Any) -> Iterator[Any]:
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            yield from part.modules()


def _tensors(pipeline: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Name of an adapter, and a tensor of it."""
    for module in _modules(pipeline):
        if isinstance(module, BaseTunerLayer):
            for layers in module.adapter_layer_names:
                for name, layer in getattr(module, layers).items():
                    of_it = layer.parameters() if isinstance(layer, torch.nn.Module) else [layer]
                    yield from zip(itertools.repeat(name), of_it, strict=False)


def _numbers(pipeline: Any) -> int:
    """How many numbers the model has without any adapters."""
    every = {id(each): each for module in _modules(pipeline) for each in module.parameters(False)}
    adapters = {id(tensor) for _, tensor in _tensors(pipeline)}
    return sum(each.numel() for key, each in every.items() if key not in adapters)


def _first_line(error: BaseException) -> str:
    # diffusers stumbles while it takes back what it had not done yet.
    if isinstance(error, KeyError) and error.__context__ is not None:
        error = error.__context__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
