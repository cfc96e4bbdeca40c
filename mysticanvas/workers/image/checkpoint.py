"""A single-file checkpoint, `.safetensors` or `.gguf`, as a pipeline, without a network.

diffusers wants a folder of configurations beside such a file, and would fetch one. Here it is made
of the one that ships for the architecture, and of what the file's tensors tell of their sizes.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from mysticanvas.errors import ModelFileError
from mysticanvas.settings import data_folder
from mysticanvas.workers.image import quantised
from mysticanvas.workers.model_files import architectures, headers
from mysticanvas.workers.model_files.shapes import Config

_FROM_PARTS = 'Give it as a part of the preset: ImagePreset(..., clip="folder"), or vae=, unet=.'
_FLUX_WIDTH = 3072
_CLIP_TOKENIZER = "CLIPTokenizer"
_SCHEDULER_CONFIG = "scheduler_config.json"
_DENOISERS = ("unet", "transformer")
_MAY_LACK = ("text_encoder_3", "tokenizer_3")
"""The T5 of Stable Diffusion 3, without which it draws as well. What diffusers calls optional is
more: a pipeline of Stable Diffusion XL without text encoders takes no prompt."""


class Checkpoint:
    """A file that holds a pipeline, or at least the part that denoises; a `.gguf` file has that
    part alone.

    Raises:
        ModelFileError: it is damaged, or of no architecture that is known here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shapes = headers.read(path).shapes
        architecture = architectures.identify(self._shapes)
        if architecture is None:
            raise ModelFileError(
                f"{path} is of no architecture whose configuration ships with MystiCanvas.",
                hint=f"Give the model as a diffusers folder. Known are: {', '.join(shipped())}.",
            )
        self._folder = data_folder() / "architectures" / architecture
        self.index: dict[str, Any] = _read(self._folder / "model_index.json")
        width = self._shapes.get("double_blocks.0.img_attn.proj.weight", (_FLUX_WIDTH,))[0]
        if width != _FLUX_WIDTH:
            raise ModelFileError(
                f"{path} is a Flux model of width {width:,}; diffusers {diffusers.__version__} "
                f"converts files of width {_FLUX_WIDTH:,} alone.",
                hint="Give the model as a diffusers folder.",
            )

    def template(self, component: str) -> Config:
        """The configuration of a component in a model of full size."""
        path = self._folder / component / "config.json"
        return _read(path) if path.is_file() else {}

    def held(self, given: Container[str]) -> Iterator[tuple[str, Config | None]]:
        """Each component that the file is to have, and its configuration; None for one that the
        pipeline does without.

        Args:
            given: components that come from elsewhere. The tokenizers of CLIP always do.

        Raises:
            ModelFileError: the file lacks a component that is needed, or has half of it.
        """
        for component, class_name in components(self.index):
            if component in given or class_name == _CLIP_TOKENIZER:
                continue
            config = self._configuration(component, class_name)
            if config is None and component not in _MAY_LACK:
                raise ModelFileError(
                    f"{self.path} has no {component} ({class_name}); a "
                    f"{self.index['_class_name']} needs one.",
                    hint=_FROM_PARTS,
                )
            yield component, config

    def pipeline(self, parts: Mapping[str, Any], dtype: torch.dtype) -> Any:
        """The pipeline, with `parts` in place of its own.

        Raises:
            ModelFileError: the file lacks a component that is not among the parts.
        """
        given = {**dict(self._tokenizers()), **parts}
        kind: Any = getattr(diffusers, self.index["_class_name"])
        with tempfile.TemporaryDirectory(prefix="mysticanvas-") as folder:
            self._write(Path(folder), given)
            if quantised.is_gguf(self.path):
                return self._quantised(kind, Path(folder), given, dtype)
            return kind.from_single_file(
                str(self.path), config=folder, dtype=dtype, local_files_only=True, **given
            )

    def _quantised(self, kind: Any, folder: Path, given: dict[str, Any], dtype: torch.dtype) -> Any:
        """The pipeline of a file with the denoiser alone; its scheduler is the one that ships."""
        name = next(each for each in _DENOISERS if each in self.index)
        if name not in given:
            part: Any = getattr(diffusers, self.index[name][1])
            given[name] = quantised.load(self.path, part, str(folder / name), dtype)
        return kind.from_pretrained(
            folder, dtype=dtype, local_files_only=True, trust_remote_code=False, **given
        )

    def _write(self, folder: Path, given: dict[str, Any]) -> None:
        """Write the configurations of what the file holds; what may be left out is given as None.

        Raises:
            ModelFileError: as `pipeline`.
        """
        (folder / "model_index.json").write_text(json.dumps(self.index))
        for component, config in list(self.held(given)):
            if config is None:
                given[component] = None
            else:
                name = _SCHEDULER_CONFIG if component == "scheduler" else "config.json"
                (folder / component).mkdir()
                (folder / component / name).write_text(json.dumps(config))

    def _configuration(self, component: str, class_name: str) -> Config | None:
        if component == "scheduler":
            return _read(self._folder / component / _SCHEDULER_CONFIG)
        template = self.template(component)
        return architectures.configure(component, class_name, self._shapes, template)

    def _tokenizers(self) -> Iterator[tuple[str, Any]]:
        """Those of CLIP, whose vocabulary ships."""
        for component, class_name in components(self.index):
            if class_name == _CLIP_TOKENIZER:
                yield (
                    component,
                    clip_tokenizer(
                        _read(self._folder / component / "tokenizer_config.json")["pad_token"]
                    ),
                )


def components(index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and class of the components that a `model_index.json` names."""
    for name, value in index.items():
        if not name.startswith("_") and isinstance(value, list) and value[:1] not in ([], [None]):
            yield name, str(value[1])


def shipped() -> list[str]:
    """The architectures whose configurations ship, by name."""
    folders = (data_folder() / "architectures").glob("*/model_index.json")
    return sorted(path.parent.name for path in folders)


def clip_tokenizer(pad_token: str) -> Any:
    """The tokenizer of every CLIP.

    Its words follow from the pairs that are merged, in this order: bytes, bytes at the end of a
    word, merged pairs, start and end of text. Source: `clip/simple_tokenizer.py` of openai/CLIP.
    """
    merges = _clip_merges()
    letters = list(bytes_to_unicode().values())  # type: ignore[no-untyped-call]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(m) for m in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=merges,
        pad_token=pad_token,
        model_max_length=77,
    )


@functools.cache
def _clip_merges() -> Any:
    path = data_folder() / "architectures" / "clip_merges.txt"
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [tuple(line.split(" ")) for line in lines]


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
