"""From what a user asked to what will run, with nothing left open: pure."""

from __future__ import annotations

import secrets
from typing import Any

from mysticanvas.contracts import scheduler_settings, schedulers, sides
from mysticanvas.contracts.params import GenerateParams, check_resolved
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import ResolvedParams, request_hash
from mysticanvas.contracts.worker import ModelRef
from mysticanvas.orchestrator.loras import NONE, Loras
from mysticanvas.orchestrator.models import Model

_DRAWN_SEED_BITS = 32


def resolve(
    params: GenerateParams,
    preset: ImagePreset,
    model: Model,
    loras: Loras = NONE,
    drawn_seed: int | None = None,
) -> ResolvedParams:
    """Fill in what was not given: from the preset, then from the model.

    A scheduler that was given comes without the settings that preset or model have for theirs.

    Args:
        loras: those of preset and request.
        drawn_seed: the seed if none is to be had so; by default a random one of 32 bits or, with
            `reuse`, one that follows from the request, so that the same request finds itself.

    Raises:
        InvalidRequest: the model cannot have that scheduler, or it cannot have that configuration,
            or its pictures cannot have that size; or what was filled in is not allowed with what
            was given.
    """
    own = {name: value for name, value in preset.default_params.items() if value is not None}
    defaults: dict[str, Any] = {**model.default_params, **own}
    if params.scheduler is not None:
        defaults.pop("scheduler_config", None)
    given = params.model_dump(exclude_none=True, exclude={"prompt", "scheduler_config"})
    chosen = {**defaults, **given}
    scheduler, alias_config = schedulers.resolve(chosen.get("scheduler", "")) or (
        model.scheduler,
        {},
    )
    seed: int = chosen.get("seed", -1)
    resolved = ResolvedParams(
        prompt=params.prompt,
        negative_prompt=chosen.get("negative_prompt", ""),
        width=chosen.get("width", model.side_px[0]),
        height=chosen.get("height", model.side_px[1]),
        num_inference_steps=chosen["num_inference_steps"],
        guidance_scale=chosen["guidance_scale"],
        seed=max(seed, 0),
        num_images=params.num_images,
        scheduler=scheduler,
        scheduler_config={
            **alias_config,
            **defaults.get("scheduler_config", {}),
            **(params.scheduler_config or {}),
        },
        loras=loras.weights,
    )
    check_resolved(resolved)
    sides.check(model.pipeline, resolved)
    by_preset = params.scheduler is None and not params.scheduler_config
    where = f"default_params of the preset {preset.name!r}: " if by_preset else ""
    scheduler_settings.check(model.scheduler, scheduler, resolved.scheduler_config, where)
    if seed >= 0:
        return resolved
    if drawn_seed is None:
        drawn_seed = _derived_seed(resolved, model, loras) if params.reuse else _random_seed()
    return resolved.model_copy(update={"seed": drawn_seed})


def model_ref(preset: ImagePreset, model: Model, loras: Loras = NONE) -> ModelRef:
    """How a worker is told of a preset's model. Its digest is that of the model alone, which stays
    where it is for other LoRAs."""
    return ModelRef.model_validate(
        {
            "path": str(model.path),
            "digest": model.digest,
            "loras": loras.paths,
            "hashed": (*model.hashed, *(each.file for each in loras.used)),
            **preset.model_dump(include={"dtype", "unet", "vae", "clip"}),
        }
    )


def _random_seed() -> int:
    return secrets.randbits(_DRAWN_SEED_BITS)


def _derived_seed(unseeded: ResolvedParams, model: Model, loras: Loras) -> int:
    return int(request_hash(unseeded, {**model.files, **loras.files})[: _DRAWN_SEED_BITS // 4], 16)
