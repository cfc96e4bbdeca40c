"""The scheduler of a job, made from the one that the model came with."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import diffusers
import torch

from mysticanvas.contracts import schedulers as table
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.errors import InvalidRequest


def make(original: Any, name: str, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler of class `name` with the original's configuration, changed by `config`.

    Fresh even if nothing is changed: a scheduler carries state from step to step.

    Raises:
        InvalidRequest: there is no such scheduler, it does not suit the model, or it does not take
            that configuration.
    """
    kind = _class_of(original, name)
    known = sorted(inspect.signature(kind.__init__).parameters.keys() - {"self"})
    unknown = sorted(config.keys() - set(known))
    if unknown:
        raise _refused(f"{name} has no setting {unknown[0]!r}.", config, ", ".join(known))
    table.require_same_family(type(original).__name__, name, config)
    try:
        return kind.from_config(original.config, **config)
    # A setting may be wrong in as many ways as it is used.
    except Exception as error:
        raise _refused(
            f"{name} cannot be made so: {_one_line(error)}", config, f"what {name} documents"
        ) from error


def require_steps(scheduler: Any, steps: int) -> None:
    """Let the scheduler lay out its steps, which not every one can do for every number.

    Raises:
        InvalidRequest: this number is not possible.
    """
    if scheduler.config.get("use_dynamic_shifting"):
        return  # its layout depends on the size of the picture, which the pipeline knows
    try:
        scheduler.set_timesteps(steps)
    except (ValueError, IndexError) as error:
        raise _too_few_or_many(scheduler, steps, _one_line(error)) from error
    times = scheduler.timesteps
    # An offset can push the first step past the end of the noise table, where it would fail late.
    if not times.is_floating_point() and times.max() >= scheduler.config.num_train_timesteps:
        last = scheduler.config.num_train_timesteps - 1
        raise _too_few_or_many(scheduler, steps, f"it would begin at {times.max()}, after {last}")


def rehearse(original: Any, params: ResolvedParams) -> None:
    """Take all steps with next to no latents: much of a configuration is not used before.

    Raises:
        InvalidRequest: the scheduler cannot work so configured.
    """
    scheduler = make(original, params.scheduler, params.scheduler_config)
    if scheduler.config.get("use_dynamic_shifting"):
        return  # as in `require_steps`
    sample = torch.zeros(1, 4, 8, 8)
    takes = inspect.signature(scheduler.step).parameters
    # One of its own: the common one is not to be moved on.
    own = {"generator": torch.Generator()} if "generator" in takes else {}
    try:
        require_steps(scheduler, params.num_inference_steps)
        for time in scheduler.timesteps:
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(sample, time)
            scheduler.step(torch.zeros_like(sample), time, sample, **own)
    except InvalidRequest:
        raise
    except Exception as error:
        raise _refused(
            f"{params.scheduler} cannot work so: {_one_line(error)}",
            params.scheduler_config,
            f"what {params.scheduler} documents",
        ) from error


@contextmanager
def applied(pipeline: Any, params: ResolvedParams) -> Iterator[None]:
    """Give the pipeline the scheduler of a job for a while, then its own again.

    Raises:
        InvalidRequest: see `make`, `require_steps` and `rehearse`.
    """
    original = pipeline.scheduler
    scheduler = make(original, params.scheduler, params.scheduler_config)
    if params.scheduler_config:
        rehearse(original, params)
    require_steps(scheduler, params.num_inference_steps)
    pipeline.scheduler = scheduler
    try:
        yield
    finally:
        pipeline.scheduler = original


def _class_of(original: Any, name: str) -> Any:
    if name == type(original).__name__:
        return type(original)
    # The table first: any other attribute of diffusers is none of a request's business.
    kind = getattr(diffusers, name, None) if name in table.CLASSES else None
    if kind is None:
        raise InvalidRequest(
            f"There is no scheduler {name!r} in diffusers {diffusers.__version__}.",
            parameter="scheduler",
            value=name,
            allowed=", ".join(table.CLASSES),
        )
    return kind


def _refused(detail: str, config: Mapping[str, Any], allowed: str) -> InvalidRequest:
    return InvalidRequest(
        detail, parameter="scheduler_config", value=repr(dict(config))[:80], allowed=allowed
    )


def _too_few_or_many(scheduler: Any, steps: int, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"{type(scheduler).__name__} cannot work in {steps} steps: {reason}.",
        hint="Try another number of steps, or another scheduler.",
        parameter="num_inference_steps",
        value=str(steps),
        allowed="a number of steps that the scheduler can lay out",
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
