"""What a model is made of: configuration and weights of its components, by headers alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from mysticanvas import model_folders
from mysticanvas.contracts.model_files import ModelFiles
from mysticanvas.contracts.tracing import Dtype
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import (
    adapting,
    architectures,
    folder as folders,
    loading,
    lora_files,
    parts,
    quantised,
    weights,
)
from mysticanvas.workers.image.architectures import Tracee
from mysticanvas.workers.image.checkpoint import Checkpoint
from mysticanvas.workers.image.folder import Folder
from mysticanvas.workers.image.lora_files import LoraFile, Ranks
from mysticanvas.workers.image.parts import Replaced
from mysticanvas.workers.model_files import headers
from mysticanvas.workers.model_files.headers import Contents
from mysticanvas.workers.model_files.shapes import Config

_KEPT = {"T5EncoderModel": ("wo",)}
"""Class -> names of weights that transformers keeps in float32 when all else is float16."""
_UPCASTING = "StableDiffusionXL"
"""How names of pipelines begin that convert their autoencoder for decoding."""
_KNOWN = architectures.DENOISERS | architectures.AUTOENCODERS | architectures.TEXT_ENCODERS


class Part(NamedTuple):
    """A component in its role."""

    component: str
    library: str
    architecture: str
    config: Config


class Model(NamedTuple):
    """A model, some of whose components may come from elsewhere."""

    parts: dict[str, Part]
    """Those whose memory is predicted, in the order of the pipeline."""
    folder: Path | None
    """The diffusers folder; None for a single file."""
    loaded: dict[str, str]
    """All components of the pipeline, each with its library."""
    replaced: dict[str, Path | None]
    """Component from elsewhere -> its folder; None if it comes out of a single file."""
    quantised: Contents | None = None
    """What the denoiser's file holds, where that is a GGUF file."""
    loras: tuple[LoraFile, ...] = ()
    pipeline: str = ""
    """Class of diffusers that runs it."""

    def adapters(self, component: str) -> list[Ranks]:
        """What LoRAs change of a component."""
        return [each.ranks[component] for each in self.loras if component in each.ranks]

    def types_of(self, part: Part) -> dict[str, str]:
        """Tensor -> type, of those that are quantised in its file."""
        if self.quantised is None or part != self.denoiser:
            return {}
        return self.quantised.quantised

    def tracee(self, part: Part, dtype: torch.dtype) -> Tracee:
        """A component without numbers, its blocks twice at most, with its LoRAs."""
        made = self._built(part, dtype, whole=False)
        changes = self.adapters(part.component)
        return adapting.adapted(made, changes) if changes else made

    def whole(self, part: Part, dtype: torch.dtype) -> Tracee:
        """A component without numbers, with all its blocks and no LoRAs."""
        return self._built(part, dtype, whole=True)

    def _built(self, part: Part, dtype: torch.dtype, whole: bool) -> Tracee:
        of = part.library, part.architecture, part.config
        made = architectures.build(*of, dtype, whole=whole)
        if self.quantised is None or part != self.denoiser:
            return made
        return quantised.traced(made, self.quantised)

    @property
    def denoiser(self) -> Part:
        """What denoises."""
        return self.parts["unet"] if "unet" in self.parts else self.parts["transformer"]

    @property
    def distilled(self) -> bool:
        """Whether it takes guidance as a number, and is never called with both prompts at once."""
        return self.denoiser.config.get("time_cond_proj_dim") is not None

    @property
    def text_encoders(self) -> list[Part]:
        """Those that there are, in order."""
        known = architectures.TEXT_ENCODERS
        return [part for part in self.parts.values() if part.architecture in known]

    def weights(self, dtype: Dtype) -> dict[str, int]:
        """Component -> bytes that it takes when it runs in a format, without buffers of no file.

        What lies in folders counts as their files have it. A single file may hold more than is
        loaded of it, in tensors that are put together otherwise; so the model counts that its
        configuration gives, which is what loading fills.

        Raises:
            ModelFileError: a file is damaged, or a configuration gives no model.
        """
        kept = {name: _kept(part, dtype) for name, part in self.parts.items()}
        found = {}
        if self.folder is not None:
            own = {k: library for k, library in self.loaded.items() if k not in self.replaced}
            found = weights.of_folder(self.folder, own, dtype, kept=kept)
        for name, path in self.replaced.items():
            if path is not None:
                found[name] = weights.of_component(
                    path, self.loaded[name], dtype, kept.get(name, ())
                )
        for name, part in self.parts.items():
            if self._is_in_a_file(name):
                found[name] = self._size(part, dtype, kept[name])
            elif name in found:
                found[name] += architectures.unstored(part.library, part.architecture, part.config)
        return found

    def _size(self, part: Part, dtype: Dtype, kept: tuple[str, ...]) -> int:
        """Bytes of a part out of a single file."""
        if self.types_of(part):
            return quantised.size(self.whole(part, getattr(torch, dtype)))
        return architectures.size(part.library, part.architecture, part.config, dtype, kept)

    def _is_in_a_file(self, component: str) -> bool:
        if component in self.replaced:
            return self.replaced[component] is None
        return self.folder is None


def of(files: ModelFiles) -> Model:
    """A model by its files, of which headers and configurations are read.

    Raises:
        ModelFileError: a file is no model, is damaged or unsafe, or is of an architecture whose
            memory is not predicted.
    """
    base = loading.base(Path(files.path))
    wanted = dict(parts.wanted(Replaced.of(files), base))
    replaced = {
        name: parts.component_folder(name, path) if path.is_dir() else None
        for name, path in wanted.items()
    }
    given = {name: _given(name, path, replaced[name], base) for name, path in wanted.items()}
    own = dict(_own(base, given.keys() | _tokenizers(wanted)))
    in_order = {name: given.get(name) or own.get(name) for name in base.index}
    found = {name: part for name, part in in_order.items() if part and part.architecture in _KNOWN}
    if "vae" not in found or not {"unet", "transformer"} & found.keys():
        raise ModelFileError(
            f"What {base.path}, a {base.index['_class_name']}, needs in memory is not known: its "
            "autoencoder or what denoises is of no kind that is.",
            hint="It can be measured by running it once.",
        )
    pipeline = str(base.index["_class_name"])
    found["vae"] = _as_it_decodes(found["vae"], pipeline)
    return Model(
        found,
        base.path if isinstance(base, Folder) else None,
        dict(model_folders.components(base.index)),
        replaced,
        _quantised(files, base),
        _loras(files, base, found),
        pipeline,
    )


def _quantised(files: ModelFiles, base: Folder | Checkpoint) -> Contents | None:
    path = base.path if files.unet is None else Path(files.unet)
    if not quantised.is_gguf(path):
        return None
    contents = headers.read(path)
    name = next(each for each in ("unet", "transformer") if each in base.index)
    quantised.check(path, str(base.index[name][1]), contents)
    return contents


def _loras(
    files: ModelFiles, base: Folder | Checkpoint, found: dict[str, Part]
) -> tuple[LoraFile, ...]:
    unet = found["unet"].config if "unet" in found else None
    pipeline = str(base.index["_class_name"])
    return tuple(lora_files.read(Path(path), pipeline, unet) for path in files.loras)


def _given(component: str, path: Path, folder: Path | None, base: parts.Base) -> Part:
    """A component from elsewhere."""
    library = str(base.index[component][0])
    if folder is None:
        config = parts.file_config(component, path, base)
        return Part(component, library, str(base.index[component][1]), config)
    config = parts.folder_config(component, folder, base)
    return Part(component, library, parts.class_of(component, config, base).__name__, config)


def _tokenizers(wanted: dict[str, Path]) -> set[str]:
    found = {parts.tokenizer_beside(name, path) for name, path in wanted.items()}
    return {name for name in found if name is not None}


def _own(base: Folder | Checkpoint, given: Collection[str]) -> Iterator[tuple[str, Part]]:
    """The components of a model's own that are not given."""
    if isinstance(base, Checkpoint):
        configs = {name: config for name, config in base.held(given) if config is not None}
    else:
        configs = {
            name: folders.read_config(base.path / name / "config.json")
            for name, _ in model_folders.components(base.index)
            if name not in given and base.index[name][1:2] and base.index[name][1] in _KNOWN
        }
    for name, config in configs.items():
        library, architecture = base.index[name]
        yield name, Part(name, str(library), str(architecture), config)


def _as_it_decodes(vae: Part, pipeline: str) -> Part:
    """An autoencoder, with `force_upcast` as it counts: it holds where nothing is said, and in
    pipelines of Stable Diffusion XL, which alone heed it.

    Source: `AutoencoderKL` and the pipelines of diffusers.
    """
    upcast = pipeline.startswith(_UPCASTING) and bool(vae.config.get("force_upcast", True))
    return vae._replace(config={**vae.config, "force_upcast": upcast})


def _kept(part: Part, dtype: Dtype) -> tuple[str, ...]:
    return _KEPT.get(part.architecture, ()) if dtype == "float16" else ()
