"""What a scheduler's configuration may hold, as far as a table tells."""

import pytest

from mysticanvas.contracts import scheduler_settings, schedulers
from mysticanvas.errors import InvalidRequest

SD, FLOW = "DDIMScheduler", "FlowMatchEulerDiscreteScheduler"


def refused(own: str, name: str, where: str = "", **config: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        scheduler_settings.check(own, name, config, where)
    return caught.value


def test_every_class_has_its_settings_and_every_setting_a_kind() -> None:
    assert scheduler_settings.OF_CLASS.keys() == set(schedulers.CLASSES)
    settings = frozenset().union(*scheduler_settings.OF_CLASS.values())
    assert settings == scheduler_settings._KINDS.keys()


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    error = refused(SD, "DPMSolverMultistepScheduler", sovler_order=2)
    assert error.parameter == "scheduler_config"
    assert error.value == "sovler_order"
    assert "solver_order" in error.allowed
    assert "Did you mean 'solver_order'?" in str(error)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("num_train_timesteps", -5),
        ("num_train_timesteps", 10**9),
        ("num_train_timesteps", True),
        ("beta_start", "0.1"),
        ("beta_schedule", "wavy"),
        ("beta_schedule", ["linear"]),
        ("clip_sample", 1),
        ("prediction_type", None),
        ("trained_betas", []),
        ("trained_betas", ["a"]),
        ("steps_offset", 1.5),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(setting: str, value: object) -> None:
    error = refused(SD, SD, **{setting: value})
    assert error.parameter == "scheduler_config"
    assert error.allowed.startswith(f"{setting}: ")
    assert f"{setting}={value!r}" in str(error)


def test_flow_matching_and_noise_prediction_do_not_mix() -> None:
    for own, name in ((SD, FLOW), (FLOW, SD)):
        error = refused(own, name)
        assert (error.parameter, error.value, error.allowed) == ("scheduler", name, own)
    assert refused(SD, "UniPCMultistepScheduler", use_flow_sigmas=True).parameter == "scheduler"
    scheduler_settings.check(FLOW, "UniPCMultistepScheduler", {"use_flow_sigmas": True})


def test_a_scheduler_of_a_models_own_may_be_one_that_the_table_does_not_know() -> None:
    scheduler_settings.check("EDMEulerScheduler", "EDMEulerScheduler", {"sigma_data": 0.5})
    error = refused(SD, "DDIMShceduler", "recipe.params.")
    assert error.parameter == "recipe.params.scheduler"
    assert "Did you mean 'DDIMScheduler'?" in str(error)
