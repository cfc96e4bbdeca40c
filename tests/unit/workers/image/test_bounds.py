"""Configurations that ask for more than there can be."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import order

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import bounds, loading, profiling

CPU = torch.device("cpu")
MANY = 20_000
FEW_MODULES = 3_000
LIMIT_S = 60
"""Of what takes a second or two, on a machine that has others to serve."""


@pytest.fixture
def hostile(tiny_sd: Path, tmp_path: Path) -> Callable[..., Path]:
    """The tiny model, its configuration of a component changed."""

    def made(component: str, file: str, **changes: Any) -> Path:
        folder = Path(shutil.copytree(tiny_sd, tmp_path / "sd"))
        path = folder / component / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return folder

    return made


@pytest.mark.fault("a configuration of layers without end", "refused in seconds, by name")
@pytest.mark.parametrize(
    ("component", "changes"),
    [
        ("text_encoder", {"num_hidden_layers": MANY}),
        ("unet", {"layers_per_block": MANY}),
        ("vae", {"layers_per_block": MANY}),
    ],
    ids=str,
)
def test_layers_without_end_are_neither_traced_nor_loaded(
    hostile: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    component: str,
    changes: dict[str, Any],
) -> None:
    monkeypatch.setattr(bounds, "MOST_MODULES", FEW_MODULES)
    folder = hostile(component, "config.json", **changes)
    began = time.monotonic()
    with pytest.raises(ModelFileError, match="^[A-Za-z0-9]+ asks for more than 3,000 layers"):
        profiling.profile(order("cpu", "float32", folder))
    with pytest.raises(ModelFileError, match="The model .*sd asks for more than 3,000 layers"):
        loading.load(folder, CPU, torch.float32)
    assert time.monotonic() - began < LIMIT_S


@pytest.mark.fault("tables that no memory holds", "refused by name, before anything is made")
@pytest.mark.parametrize(
    ("component", "file", "name"),
    [
        ("text_encoder", "config.json", "max_position_embeddings"),
        ("unet", "config.json", "attention_head_dim"),
        ("scheduler", "scheduler_config.json", "num_train_timesteps"),
    ],
)
def test_numbers_that_no_model_has_are_refused_by_name(
    hostile: Callable[..., Path], component: str, file: str, name: str
) -> None:
    folder = hostile(component, file, **{name: 10**12})
    with pytest.raises(ModelFileError, match=f"{component}/{file}: the number '{name}' is"):
        loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize("inner", [[{"deep": [10**9]}], {"deep": -(10**400)}], ids=["list", "dict"])
def test_numbers_are_found_at_any_depth(inner: Any) -> None:
    with pytest.raises(ModelFileError, match="'deep'"):
        bounds.check(Path("config.json"), {"text_config": inner})


def test_what_models_have_passes() -> None:
    usual = {"rope_theta": 1e9, "vocab_size": 256_000, "max_position_embeddings": 10_485_760}
    bounds.check(Path("config.json"), {**usual, "use_cache": True, "pad_token_id": -1})


def test_the_bound_ends_with_what_was_built() -> None:
    with bounds.building("It"):
        torch.nn.Sequential(torch.nn.Identity())
    with pytest.raises(ModelFileError), bounds.building("It"):
        torch.nn.Sequential(*[torch.nn.Identity()] * (bounds.MOST_MODULES + 1))
    assert len(torch.nn.Sequential(*[torch.nn.Identity()] * (bounds.MOST_MODULES + 1))) > 0
