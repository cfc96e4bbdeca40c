"""What the file of a LoRA changes in a pipeline, by its header alone.

The names in such files come in several layouts; what they mean is diffusers' to say, which is asked
with tensors that have shapes and no memory.
"""

from __future__ import annotations

import contextlib
import json
import math
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from diffusers.utils import state_dict_utils
from peft import LoraConfig
from safetensors import safe_open

from mysticanvas import model_folders
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.model_files import safetensors
from mysticanvas.workers.model_files.safetensors import Header

_DENOISERS = ("unet", "transformer")
_DOWN, _UP = ".lora_A.", ".lora_B."
_FREE = frozenset({"r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "lora_bias",
                   "peft_type", "task_type", "base_model_name_or_path", "revision",
                   "inference_mode", "lora_dropout", "peft_version", "auto_mapping"})  # fmt: skip
"""Members of a stored `LoraConfig` that may have any value; the others are at their default."""

Ranks = dict[str, int]
"""Module -> rank of its change."""


class LoraFile(NamedTuple):
    """A LoRA as diffusers will load it."""

    numbers: int
    """In all its tensors."""
    ranks: dict[str, Ranks]
    """Component -> its modules."""


def read(path: Path, pipeline: str, unet: Mapping[str, Any] | None = None) -> LoraFile:
    """What a file changes.

    Args:
        pipeline: class name of the pipeline that it is for.
        unet: configuration of its UNet, by which blocks of Stable Diffusion XL are found.

    Raises:
        ModelFileError: it is damaged, unsafe or no LoRA for such a pipeline, or such a pipeline
            takes none.
    """
    if path.suffix in model_folders.PICKLES:
        raise model_folders.pickled(path)
    header = safetensors.validate(path)
    kind: Any = getattr(diffusers, pipeline)
    if not hasattr(kind, "lora_state_dict"):
        raise ModelFileError(
            f"diffusers {diffusers.__version__} applies no LoRAs to a {pipeline}.",
            hint="Leave `loras` out.",
        )
    if any("dora_scale" in name or "lora_magnitude_vector" in name for name in header.tensors):
        raise ModelFileError(
            f"{path} is a DoRA, of which diffusers {diffusers.__version__} leaves out a part in "
            "most layouts.",
            hint="Convert it to a plain LoRA.",
        )
    _require_plain_numbers(path, header)
    try:
        return _converted(kind, header, unet)
    # Whatever the conversion makes of names that a file holds.
    except Exception as error:
        raise unsuitable(path, pipeline, _first_line(error)) from error


@contextlib.contextmanager
def several() -> Iterator[None]:
    """Where peft need not warn that a model has more than one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        yield


def check_config(path: Path, ranks: Mapping[str, Ranks]) -> None:
    """Refuse a stored configuration that does more than rank and scale what the file holds.

    Raises:
        ModelFileError: so it does.
    """
    text = safetensors.validate(path).metadata.get(LORA_ADAPTER_METADATA_KEY)
    if text is None:
        return
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise safetensors.damaged(path, "its configuration is no JSON object")
    largest = max((rank for each in ranks.values() for rank in each.values()), default=0)
    usual = vars(LoraConfig())
    for name, value in stored.items():
        member = name.rpartition(".")[2]
        if not _is_harmless(member, value, largest, usual):
            raise ModelFileError(
                f"{path} wants {member} = {str(value)[:80]}, which is not done for a LoRA.",
                hint="Save it again with diffusers' `save_lora_weights`, with plain settings.",
            )


def unsuitable(path: Path, pipeline: str, why: str) -> ModelFileError:
    """The error for a LoRA of another kind of model."""
    return ModelFileError(
        f"The LoRA {path} does not suit this {pipeline}: {why}",
        hint="Give one that was made for the same kind of model.",
    )


def _converted(kind: Any, header: Header, unet: Mapping[str, Any] | None) -> LoraFile:
    one = torch.ones(())
    state: Any = {name: one.expand(tensor.shape) for name, tensor in header.tensors.items()}
    # Only those of a UNet know the argument.
    more = {} if unet is None else {"unet_config": types.SimpleNamespace(**unet)}
    found = kind.lora_state_dict(state, **more)
    state = found[0] if isinstance(found, tuple) else found
    foreign = next((name for name in state if "lora" not in name), None)
    if foreign is not None:
        raise ValueError(f"its tensor {foreign!r} belongs to no LoRA.")
    components: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        component, _, within = name.partition(".")
        components.setdefault(component, {})[within] = tensor
    return LoraFile(
        sum(tensor.numel() for tensor in state.values()),
        {name: _ranks(_peft_names(name, tensors)) for name, tensors in components.items()},
    )


def _peft_names(component: str, tensors: dict[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """As `load_lora_adapter` and `_load_lora_into_text_encoder` of diffusers have them."""
    if component in _DENOISERS:
        if _DOWN.strip(".") in next(iter(tensors)):
            return tensors
        return _untyped(state_dict_utils.convert_unet_state_dict_to_peft, tensors)
    as_ours = _untyped(state_dict_utils.convert_state_dict_to_diffusers, tensors)
    return _untyped(state_dict_utils.convert_state_dict_to_peft, as_ours)


def _untyped(convert: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(convert(tensors))


def _ranks(tensors: Mapping[str, torch.Tensor]) -> Ranks:
    return {
        name.partition(_DOWN)[0]: int(tensor.shape[0])
        for name, tensor in tensors.items()
        if _DOWN in name
    }


def _require_plain_numbers(path: Path, header: Header) -> None:
    """Scales that are finite and not negative: diffusers divides them by two until they are small
    enough."""
    scales = [
        name
        for name, tensor in header.tensors.items()
        if name.endswith(".alpha") and tensor.numbers == 1
    ]
    with safe_open(path, framework="pt") as file:
        for name in scales:
            value = float(file.get_tensor(name))
            if not (math.isfinite(value) and value >= 0):
                raise ModelFileError(
                    f"{path} is no sound LoRA: {name} is {value}.", hint="Download it again."
                )


def _is_harmless(member: str, value: Any, largest: int, usual: Mapping[str, Any]) -> bool:
    if member == "r":
        return isinstance(value, int) and value <= largest
    if member == "rank_pattern":
        return isinstance(value, dict) and all(
            isinstance(rank, int) and rank <= largest for rank in value.values()
        )
    if member == "target_modules":
        return isinstance(value, list)
    if member == "init_lora_weights":
        return value in (True, False, "gaussian")
    return member in _FREE or not value or value == usual.get(member)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
