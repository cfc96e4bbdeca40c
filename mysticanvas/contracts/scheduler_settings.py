"""What `scheduler_config` may hold: the settings of each scheduler class, as far as they are known
without diffusers.

A table, for the reason of `schedulers.py`; a test in the image worker proves that its names are
those of diffusers. What a value does beyond its type is for the worker to try.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import JsonValue

from mysticanvas.contracts import schedulers
from mysticanvas.errors import InvalidRequest


class _Kind(NamedTuple):
    """A kind of values, and what is allowed in the words of the error."""

    allowed: str
    holds: Callable[[Any], bool]


def _whole(low: int, high: int) -> _Kind:
    return _Kind(
        f"a whole number from {low:,} to {high:,}",
        lambda value: type(value) is int and low <= value <= high,
    )


def _words(*words: str) -> _Kind:
    return _Kind(f"one of: {', '.join(words)}", lambda value: value in words)


def _or_none(kind: _Kind) -> _Kind:
    return _Kind(f"{kind.allowed}; or None", lambda value: value is None or kind.holds(value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST


_LARGEST = 10**9
_MOST_TIMESTEPS = 100_000
"""A scheduler keeps tables of as many numbers."""
_FLAG = _Kind("True or False", lambda value: isinstance(value, bool))
_NUMBER = _Kind("a number", _is_number)
_NUMBERS = _Kind(
    f"a list of 1 to {_MOST_TIMESTEPS:,} numbers",
    lambda value: (
        isinstance(value, list)
        and 1 <= len(value) <= _MOST_TIMESTEPS
        and all(map(_is_number, value))
    ),
)
_STEPS = _Kind(
    "a list of whole numbers",
    lambda value: isinstance(value, list) and all(type(each) is int for each in value),
)

_KINDS: Mapping[str, _Kind] = {
    "algorithm_type": _words(
        "deis", "dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"
    ),
    "base_image_seq_len": _whole(1, _LARGEST),
    "base_shift": _or_none(_NUMBER),
    "beta_end": _NUMBER,
    "beta_schedule": _words("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"),
    "beta_start": _NUMBER,
    "clip_sample": _FLAG,
    "clip_sample_range": _NUMBER,
    "disable_corrector": _STEPS,
    "dynamic_thresholding_ratio": _NUMBER,
    "euler_at_final": _FLAG,
    "final_sigmas_type": _words("zero", "sigma_min"),
    "flow_shift": _NUMBER,
    "interpolation_type": _words("linear", "log_linear"),
    "invert_sigmas": _FLAG,
    "lambda_min_clipped": _NUMBER,
    "lower_order_final": _FLAG,
    "max_image_seq_len": _whole(1, _LARGEST),
    "max_shift": _or_none(_NUMBER),
    "num_train_timesteps": _whole(1, _MOST_TIMESTEPS),
    "original_inference_steps": _whole(1, _MOST_TIMESTEPS),
    "predict_x0": _FLAG,
    "prediction_type": _words("epsilon", "sample", "v_prediction", "flow_prediction"),
    "rescale_betas_zero_snr": _FLAG,
    "sample_max_value": _NUMBER,
    "set_alpha_to_one": _FLAG,
    "shift": _NUMBER,
    "shift_terminal": _or_none(_NUMBER),
    "sigma_max": _or_none(_NUMBER),
    "sigma_min": _or_none(_NUMBER),
    "skip_prk_steps": _FLAG,
    "solver_order": _whole(1, 3),
    "solver_p": _Kind("None", lambda value: value is None),
    "solver_type": _words("midpoint", "heun", "logrho", "bh1", "bh2"),
    "steps_offset": _whole(0, _MOST_TIMESTEPS),
    "stochastic_sampling": _FLAG,
    "thresholding": _FLAG,
    "time_shift_type": _words("exponential", "linear"),
    "timestep_scaling": _NUMBER,
    "timestep_spacing": _words("linspace", "leading", "trailing"),
    "timestep_type": _words("discrete", "continuous"),
    "trained_betas": _or_none(_NUMBERS),
    "use_beta_sigmas": _FLAG,
    "use_dynamic_shifting": _FLAG,
    "use_exponential_sigmas": _FLAG,
    "use_flow_sigmas": _FLAG,
    "use_karras_sigmas": _FLAG,
    "use_lu_lambdas": _FLAG,
    "variance_type": _or_none(
        _words(
            "fixed_small",
            "fixed_small_log",
            "fixed_large",
            "fixed_large_log",
            "learned",
            "learned_range",
        )
    ),
}

_NOISE = frozenset(
    {
        "beta_end",
        "beta_schedule",
        "beta_start",
        "num_train_timesteps",
        "prediction_type",
        "trained_betas",
    }
)
_STEPPED = _NOISE | {"steps_offset", "timestep_spacing"}
_CLIPPED = frozenset({"clip_sample", "clip_sample_range"})
_DYNAMIC = frozenset({"dynamic_thresholding_ratio", "sample_max_value", "thresholding"})
_SIGMAS = frozenset({"use_beta_sigmas", "use_exponential_sigmas", "use_karras_sigmas"})
_ZERO_SNR = frozenset({"rescale_betas_zero_snr"})
_SOLVER = (
    _NOISE
    | _DYNAMIC
    | _SIGMAS
    | {
        "flow_shift",
        "lower_order_final",
        "solver_order",
        "solver_type",
        "time_shift_type",
        "use_dynamic_shifting",
        "use_flow_sigmas",
    }
)
_DISTILLED = (
    _STEPPED
    | _CLIPPED
    | _DYNAMIC
    | _ZERO_SNR
    | {"original_inference_steps", "set_alpha_to_one", "timestep_scaling"}
)
_DPM = {"algorithm_type", "final_sigmas_type", "lambda_min_clipped", "variance_type"}

OF_CLASS: Mapping[str, frozenset[str]] = {
    "DDIMScheduler": _STEPPED | _CLIPPED | _DYNAMIC | _ZERO_SNR | {"set_alpha_to_one"},
    "DDPMScheduler": _STEPPED | _CLIPPED | _DYNAMIC | _ZERO_SNR | {"variance_type"},
    "DEISMultistepScheduler": _SOLVER | _STEPPED | {"algorithm_type"},
    "DPMSolverMultistepScheduler": _SOLVER
    | _STEPPED
    | _ZERO_SNR
    | _DPM
    | {"euler_at_final", "use_lu_lambdas"},
    "DPMSolverSinglestepScheduler": _SOLVER | _DPM,
    "EulerAncestralDiscreteScheduler": _STEPPED | _ZERO_SNR,
    "EulerDiscreteScheduler": _STEPPED
    | _SIGMAS
    | _ZERO_SNR
    | {"final_sigmas_type", "interpolation_type", "sigma_max", "sigma_min", "timestep_type"},
    "FlowMatchEulerDiscreteScheduler": _SIGMAS
    | {
        "base_image_seq_len",
        "base_shift",
        "invert_sigmas",
        "max_image_seq_len",
        "max_shift",
        "num_train_timesteps",
        "shift",
        "shift_terminal",
        "stochastic_sampling",
        "time_shift_type",
        "use_dynamic_shifting",
    },
    "FlowMatchHeunDiscreteScheduler": frozenset({"num_train_timesteps", "shift"}),
    "HeunDiscreteScheduler": _STEPPED | _CLIPPED | _SIGMAS,
    "KDPM2AncestralDiscreteScheduler": _STEPPED | _SIGMAS,
    "KDPM2DiscreteScheduler": _STEPPED | _SIGMAS,
    "LCMScheduler": _DISTILLED,
    "PNDMScheduler": _STEPPED | {"set_alpha_to_one", "skip_prk_steps"},
    "TCDScheduler": _DISTILLED,
    "UniPCMultistepScheduler": _SOLVER
    | _STEPPED
    | _ZERO_SNR
    | {
        "disable_corrector",
        "final_sigmas_type",
        "predict_x0",
        "shift_terminal",
        "sigma_max",
        "sigma_min",
        "solver_p",
    },
}
"""Class -> its settings."""


def check(own: str, name: str, config: Mapping[str, JsonValue], where: str = "") -> None:
    """Refuse a scheduler that does not suit a model, or is not to be made so.

    Args:
        own: class of the model's own scheduler, which may be one that is not in the table.
        name: class of the one that is wanted.
        config: what is to be changed in its configuration.
        where: what stands before a parameter's name in the error, such as `recipe.params.`.

    Raises:
        InvalidRequest: names `scheduler` or `scheduler_config`, the value and what is allowed.
    """
    if name != own and name not in schedulers.CLASSES:
        raise InvalidRequest(
            f"{where}scheduler: there is no scheduler {name[:80]!r}.",
            hint=_did_you_mean(name, schedulers.CLASSES),
            parameter=f"{where}scheduler",
            value=name[:80],
            allowed=", ".join(schedulers.CLASSES),
        )
    known = OF_CLASS.get(name)
    for setting, value in config.items():
        if known is not None and setting not in known:
            raise InvalidRequest(
                f"{where}scheduler_config: {name} has no setting {setting[:80]!r}.",
                hint=_did_you_mean(setting, known),
                parameter=f"{where}scheduler_config",
                value=setting[:80],
                allowed=", ".join(sorted(known)),
            )
        kind = _KINDS.get(setting)
        if kind is not None and not kind.holds(value):
            raise InvalidRequest(
                f"{where}scheduler_config: {setting}={repr(value)[:80]} is not allowed; allowed "
                f"is {kind.allowed}.",
                parameter=f"{where}scheduler_config",
                value=repr(value)[:80],
                allowed=f"{setting}: {kind.allowed}",
            )
    schedulers.require_same_family(own, name, config, where)


def _did_you_mean(name: str, known: Any) -> str:
    nearest = difflib.get_close_matches(name, sorted(known), 1)
    return f"Did you mean {nearest[0]!r}?" if nearest else ""
