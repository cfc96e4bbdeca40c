"""Parts of a pipeline from other files than the model's own: denoiser, VAE, text encoders."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors.torch import load_file

from mysticanvas import component_roles, model_folders
from mysticanvas.contracts.model_files import ModelFiles
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import classes, folder as folders, quantised, weights
from mysticanvas.workers.model_files import architectures, headers
from mysticanvas.workers.model_files.shapes import Config


class Base(Protocol):
    """The model whose parts are replaced."""

    path: Path
    index: dict[str, Any]

    def template(self, component: str) -> Config:
        """The configuration of a component."""


class Replaced(NamedTuple):
    """What to take from elsewhere: folders of a component or a pipeline, or single files."""

    unet: Path | None = None
    """What denoises, a diffusion transformer too."""
    vae: Path | None = None
    clip: tuple[Path, ...] = ()
    """The text encoders in order; a folder of a pipeline stands for all of its own."""

    @classmethod
    def of(cls, files: ModelFiles) -> Replaced:
        """The parts of a model that come from elsewhere."""
        return cls(
            Path(files.unet) if files.unet else None,
            Path(files.vae) if files.vae else None,
            tuple(map(Path, files.clip)),
        )


def load(replaced: Replaced, base: Base, dtype: torch.dtype) -> dict[str, Any]:
    """The parts that are replaced, by their names in the pipeline.

    Raises:
        ModelFileError: the model has no such part, or a file is none, damaged, unsafe or misfit.
    """
    parts: dict[str, Any] = {}
    for component, path in wanted(replaced, base):
        if path.is_dir():
            parts |= _from_folder(component, path, base, dtype)
        else:
            parts[component] = _from_file(component, path, base, dtype)
    return parts


def wanted(replaced: Replaced, base: Base) -> Iterator[tuple[str, Path]]:
    """Component and the path that it is to come from.

    Raises:
        ModelFileError: the model has no such part.
    """
    if replaced.unet:
        denoiser = "unet" if "unet" in base.index else "transformer"
        yield _named(denoiser, replaced.unet, base), replaced.unet
    if replaced.vae:
        yield _named("vae", replaced.vae, base), replaced.vae
    encoders = sorted(
        name for name, _ in model_folders.components(base.index) if name.startswith("text_encoder")
    )
    if len(replaced.clip) > len(encoders):
        raise ModelFileError(
            f"{base.path} has {len(encoders)} text encoders, and clip names {len(replaced.clip)}.",
            hint=f"They are, in order: {', '.join(encoders)}.",
        )
    if len(replaced.clip) == 1 and (replaced.clip[0] / folders.INDEX).is_file():
        yield from ((encoder, replaced.clip[0]) for encoder in encoders)
    else:
        yield from zip(encoders, replaced.clip, strict=False)


def _named(component: str, path: Path, base: Base) -> str:
    if component not in base.index:
        raise ModelFileError(
            f"{base.path} is a {base.index['_class_name']}, which has no {component!r} to replace "
            f"by {path}."
        )
    return component


def _from_folder(component: str, path: Path, base: Base, dtype: torch.dtype) -> dict[str, Any]:
    """The component, and the tokenizer beside it."""
    part = component_folder(component, path)
    kind = class_of(component, folder_config(component, part, base), base)
    variant = weights.variant_of([sorted(part.glob("*.safetensors"))])
    files = model_folders.weights(part, base.index[component][0], variant)
    module = kind.from_pretrained(
        part,
        dtype=dtype,
        variant=variant,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    folders.require_complete(part, files, module)
    tokenizer = tokenizer_beside(component, path)
    if tokenizer is None:
        return {component: module}
    name = folders.class_name(base.index, tokenizer)
    kind = classes.find("transformers", name, classes.TOKENIZERS)
    return {
        component: module,
        tokenizer: kind.from_pretrained(
            path / tokenizer, local_files_only=True, trust_remote_code=False
        ),
    }


def component_folder(component: str, path: Path) -> Path:
    """The folder of a component, which is given itself or within that of a pipeline.

    Raises:
        ModelFileError: there is none, or its weights are damaged or pickled.
    """
    part = path / component if (path / component).is_dir() else path
    if not (part / "config.json").is_file():
        raise ModelFileError(
            f"{path} is no folder of a {component}: it has no config.json.",
            hint="Give the folder of the component, or of a pipeline that has it.",
        )
    folders.check_files(part)
    return part


def folder_config(component: str, part: Path, base: Base) -> Config:
    """The configuration of a component out of its folder.

    Raises:
        ModelFileError: it is that of something else, or cannot be read.
    """
    path = part / "config.json"
    config = folders.read_config(path)
    component_roles.check(path, config, component, folders.class_name(base.index, component))
    return config


def tokenizer_beside(component: str, path: Path) -> str | None:
    """The tokenizer that comes with a text encoder from a folder; None if none does."""
    tokenizer = component.replace("text_encoder", "tokenizer")
    return tokenizer if tokenizer != component and (path / tokenizer).is_dir() else None


def file_config(component: str, path: Path, base: Base) -> Config:
    """The configuration of a component out of a file that may hold more than it.

    Raises:
        ModelFileError: the file has none of that kind, or is damaged or a pickle.
    """
    if path.suffix in model_folders.PICKLES:
        raise model_folders.pickled(path)
    contents = headers.read(path)
    name = base.index[component][1]
    if quantised.is_gguf(path):
        quantised.check(path, name, contents)
    config = architectures.configure(component, name, contents.shapes, base.template(component))
    if config is None:
        raise ModelFileError(
            f"{path} holds no {name}, which is the {component} of {base.path}.",
            hint="Give a file of that kind, or the folder of the component.",
        )
    return config


def _from_file(component: str, path: Path, base: Base, dtype: torch.dtype) -> Any:
    config = file_config(component, path, base)
    kind = class_of(component, {}, base)
    with tempfile.TemporaryDirectory(prefix="mysticanvas-") as scratch:
        (Path(scratch) / "config.json").write_text(json.dumps(config))
        if quantised.is_gguf(path):
            return quantised.load(path, kind, scratch, dtype)
        if hasattr(kind, "from_single_file"):
            return kind.from_single_file(
                _tensors(path), config=scratch, dtype=dtype, local_files_only=True
            )
        (Path(scratch) / "model.safetensors").symlink_to(path.absolute())
        module, report = kind.from_pretrained(
            scratch,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])[0]
        raise ModelFileError(
            f"{path} is no complete {kind.__name__}: it has no tensor {missing!r}."
        )
    return module


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """All of a file; a UNet of its own gets the names that it has within a checkpoint, since
    diffusers knows those alone."""
    tensors: dict[str, torch.Tensor] = load_file(path)
    if "input_blocks.0.0.weight" in tensors:
        return {f"model.diffusion_model.{name}": value for name, value in tensors.items()}
    return tensors


def class_of(component: str, config: Config, base: Base) -> Any:
    """The class of a component: a VAE's folder may name another than the model has.

    Raises:
        ModelFileError: the library has no such class.
    """
    library, name = str(base.index[component][0]), folders.class_name(base.index, component)
    if library == "diffusers":
        name = str(config.get("_class_name", name))
    return classes.find(library, name, classes.MODELS)
