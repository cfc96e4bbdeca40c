"""LoRAs on a model without numbers, so that a trace of it has the tensors that they add."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer

from mysticanvas.contracts.base import sha256_of
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import lora_files
from mysticanvas.workers.image.architectures import Tracee
from mysticanvas.workers.image.lora_files import Ranks

_BLOCK = re.compile(r"(?<=transformer_blocks\.)\d+(?=\.)")
"""The number of a block, of those that a shortened model has twice at most."""


def adapted(tracee: Tracee, adapters: Sequence[Ranks]) -> Tracee:
    """The model with these LoRAs, all of them in use. A block that stands for others that are left
    out has the changes of them all.

    Raises:
        ModelFileError: peft does not put one on.
    """
    modules = dict(tracee.model.named_modules())
    names = []
    for number, ranks in enumerate(adapters):
        found: Ranks = {}
        for module, rank in ranks.items():
            for name in _places(module):
                if name in modules:
                    found[name] = max(rank, found.get(name, 0))
        if found:
            names.append(str(number))
            _inject(tracee.model, names[-1], found)
    for layer in tracee.model.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.set_adapter(names)
    torch.nn.Module.to(tracee.model.eval(), tracee.dtype)
    return tracee


def digest(adapters: Sequence[Ranks]) -> str:
    """Equal for LoRAs that take the same; empty for none."""
    return sha256_of(list(adapters)) if adapters else ""


def _places(module: str) -> Iterable[str]:
    """Where a change is traced: the modules that stand for the one that is meant. Whether a CLIP
    has its own part in their names depends on its class."""
    module = module.removeprefix("text_model.")
    return dict.fromkeys(
        f"{start}{_BLOCK.sub(number, module)}"
        for start in ("", "text_model.")
        for number in ("0", "1")
    )


def _inject(model: Any, name: str, ranks: Mapping[str, int]) -> None:
    config = LoraConfig(
        # Not a list, whose members would be taken for ends of names.
        target_modules="|".join(map(re.escape, ranks)),
        r=max(ranks.values()),
        rank_pattern={f"^{re.escape(module)}": rank for module, rank in ranks.items()},
    )
    try:
        with lora_files.several():
            inject_adapter_in_model(config, model, adapter_name=name, low_cpu_mem_usage=True)
    except Exception as error:
        raise ModelFileError(
            f"A LoRA does not suit a {type(model).__name__}: {error}",
            hint="Give one that was made for the same kind of model.",
        ) from error
