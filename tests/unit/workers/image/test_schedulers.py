import inspect
from types import SimpleNamespace

import diffusers
import pytest
import torch

from mysticanvas.contracts import scheduler_settings, schedulers as table
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.errors import InvalidRequest
from mysticanvas.workers.image import schedulers

SD = diffusers.DDIMScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
)
FLOW = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)


def params(scheduler: str, steps: int = 4, **config: object) -> ResolvedParams:
    return ResolvedParams(
        prompt="",
        width=64,
        height=64,
        num_inference_steps=steps,
        guidance_scale=1.0,
        seed=0,
        scheduler=scheduler,
        scheduler_config=config,
    )


# KDPM2 sums a tensor with NumPy, which is theirs to mend.
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize("name", table.NAMES)
def test_every_name_of_the_table_works_in_diffusers(name: str) -> None:
    resolved = table.resolve(name)
    assert resolved is not None
    kind, config = resolved
    original = FLOW if kind.startswith("FlowMatch") else SD
    made = schedulers.make(original, kind, config)
    schedulers.require_steps(made, 10)
    assert type(made).__name__ == kind
    assert len(made.timesteps) >= 10
    assert {key: made.config[key] for key in config} == config


def test_a_scheduler_keeps_what_the_model_was_trained_with() -> None:
    made = schedulers.make(SD, "EulerDiscreteScheduler", {"use_karras_sigmas": True})
    assert made.config.beta_schedule == "scaled_linear"
    assert made.config.beta_end == 0.012
    assert made.config.use_karras_sigmas is True


def test_the_same_class_is_still_a_fresh_one() -> None:
    assert schedulers.make(SD, "DDIMScheduler", {}) is not SD


def test_the_models_own_scheduler_comes_back_also_after_an_error() -> None:
    pipeline = SimpleNamespace(scheduler=SD)

    def fail() -> None:
        with schedulers.applied(pipeline, params("LCMScheduler")):
            assert type(pipeline.scheduler).__name__ == "LCMScheduler"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert pipeline.scheduler is SD


@pytest.mark.parametrize("name", ["NoSuchScheduler", "StableDiffusionPipeline", "utils"])
def test_an_unknown_scheduler_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="no scheduler") as caught:
        schedulers.make(SD, name, {})
    assert caught.value.parameter == "scheduler"


def test_an_unknown_setting_is_refused_rather_than_ignored() -> None:
    with pytest.raises(InvalidRequest, match="no setting 'karras'") as caught:
        schedulers.make(SD, "EulerDiscreteScheduler", {"karras": True})
    assert caught.value.parameter == "scheduler_config"
    assert "use_karras_sigmas" in caught.value.allowed


def test_a_setting_of_a_wrong_value_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot be made so") as caught:
        schedulers.make(SD, "DDIMScheduler", {"beta_schedule": "wavy"})
    assert caught.value.parameter == "scheduler_config"


@pytest.mark.parametrize(
    ("own", "name"), [(SD, "FlowMatchEulerDiscreteScheduler"), (FLOW, "DDIMScheduler")]
)
def test_flow_matching_and_noise_prediction_do_not_mix(own: object, name: str) -> None:
    with pytest.raises(InvalidRequest, match="does not suit this model"):
        schedulers.make(own, name, {})


@pytest.mark.parametrize(("name", "steps"), [("PNDMScheduler", 1), ("DDIMScheduler", 1000)])
def test_a_number_of_steps_that_cannot_be_is_refused(name: str, steps: int) -> None:
    pipeline = SimpleNamespace(scheduler=SD)
    with (
        pytest.raises(InvalidRequest, match=f"cannot work in {steps} steps") as caught,
        schedulers.applied(pipeline, params(name, steps=steps)),
    ):
        pytest.fail("it must be refused before")
    assert caught.value.parameter == "num_inference_steps"
    assert pipeline.scheduler is SD


@pytest.mark.parametrize("name", table.CLASSES)
def test_the_table_of_settings_is_that_of_diffusers(name: str) -> None:
    kind = getattr(diffusers, name)
    assert scheduler_settings.OF_CLASS[name] == {*inspect.signature(kind).parameters}
    # Their own defaults are allowed, but for an infinity, which no request can hold.
    for setting, parameter in inspect.signature(kind).parameters.items():
        if parameter.default != -float("inf"):
            own = {setting: parameter.default}
            scheduler_settings.check(name, name, own)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("DDIMScheduler", {"num_train_timesteps": -5}),
        ("DDIMScheduler", {"num_train_timesteps": "many"}),
        ("DDIMScheduler", {"beta_start": "low"}),
        ("DPMSolverMultistepScheduler", {"solver_order": 0}),
        ("LCMScheduler", {"timestep_scaling": "wide"}),
        ("LCMScheduler", {"original_inference_steps": 0}),
        ("UniPCMultistepScheduler", {"solver_p": {"a": 1}}),
        ("PNDMScheduler", {"trained_betas": [0.1]}),
    ],
)
def test_a_setting_that_shows_only_at_work_is_refused_before(
    name: str, config: dict[str, object]
) -> None:
    pipeline = SimpleNamespace(scheduler=SD)
    with (
        pytest.raises(InvalidRequest) as caught,
        schedulers.applied(pipeline, params(name, steps=6, **config)),
    ):
        pytest.fail("it must be refused before")
    assert caught.value.parameter in ("scheduler_config", "num_inference_steps")
    assert pipeline.scheduler is SD


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize("name", table.NAMES)
def test_a_rehearsal_lets_through_what_works_and_moves_no_generator(name: str) -> None:
    kind, config = table.resolve(name) or ("", {})
    original = FLOW if kind.startswith("FlowMatch") else SD
    before = torch.random.get_rng_state()
    schedulers.rehearse(original, params(kind, steps=10, **config))
    assert torch.equal(torch.random.get_rng_state(), before)
