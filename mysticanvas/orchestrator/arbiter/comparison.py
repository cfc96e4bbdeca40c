"""From what a worker measured of a job to rows that say how near its prediction was: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.mitigations import without_offload
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import Environment, ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile, Phase
from mysticanvas.contracts.worker import PhaseUse
from mysticanvas.orchestrator.arbiter import formats, ways
from mysticanvas.orchestrator.arbiter.planning import MIB
from mysticanvas.orchestrator.arbiter.suggestion import Size
from mysticanvas.orchestrator.arbiter.ways import Asked
from mysticanvas.vram import image
from mysticanvas.vram.calibration import RECENT, Calibration, Measured, calibrate
from mysticanvas.vram.image import Surroundings

INFLATION = 1.15
"""Times what was counted on that a phase is taken to need, when memory ran out in it."""
_CLEARING = 3
"""Phases that went well after which it is no longer counted that memory ran out once."""
_SMALL = MIB
_NO_MATTER = {"prompt", "negative_prompt", "seed", "guidance_scale"}
"""Parameters that change nothing about how long a job takes; of guidance, only whether there is."""
_STAGES: dict[Phase, str] = {
    "text_encode": "encode",
    "denoise": "denoise",
    "vae_encode": "encode",
    "vae_decode": "decode",
}


Factor = Callable[[str], float]
"""Gives for a key what predictions of it are multiplied by."""


class Ran(NamedTuple):
    """A job that a worker carried out, or that ran out of memory there."""

    job_id: str
    attempt: int
    preset: str
    model: str
    """Digest of its files."""
    params: ResolvedParams
    mitigations: tuple[str, ...]
    """With which it ended."""
    environment: Environment
    phases: Sequence[PhaseUse]
    weights: int
    """Bytes, as the worker has them."""
    seconds: Mapping[str, float]
    """By stage; empty if it came to no end."""
    loras: tuple[str, ...] = ()
    """Digests of the files of its LoRAs."""
    pipeline: str = ""
    """Class of diffusers that ran it."""
    revision: int | None = None
    """Of the preset."""
    lora_weights: int = 0
    """Bytes of `weights` that are its LoRAs'."""

    @property
    def model_weights(self) -> int:
        """Bytes of the model alone; 0 where the worker does not tell."""
        return self.weights - self.lora_weights


def work_of(
    profile: ImageProfile, params: ResolvedParams, mitigations: Sequence[str] = ()
) -> ImageWork:
    """What of a request decides its memory, with these mitigations."""
    size = Size(params.width, params.height, params.num_images)
    return ways.work(profile, size, Asked.of(profile, params), mitigations)


def keys(
    profile: ImageProfile, work: ImageWork, device: str, mitigations: Sequence[str] = ()
) -> dict[Phase, str]:
    """The key of each phase: what `calibration` is kept for.

    Args:
        device: such as `cpu` or `cuda:NVIDIA GeForce RTX 4090`.
        mitigations: with which it decodes.
    """
    return {
        phase: sha256_of([sorted(digests), device, _of_phase(phase, mitigations)])
        for phase, digests in image.envelopes_of(profile, work).items()
    }


def run_key(
    model: str,
    params: ResolvedParams,
    mitigations: Sequence[str],
    device: str,
    dtype: str,
    threads: int,
) -> str:
    """Equal for jobs that take equally long.

    Args:
        device: such as `cpu` or `cuda:NVIDIA GeForce RTX 4090`.
        dtype: number format that they run in.
    """
    what = params.model_dump(mode="json", exclude=_NO_MATTER)
    loras = what.pop("loras")
    if loras:
        # Not their weights; and without any, the key is that of before there were LoRAs.
        what["loras"] = len(loras)
    guided, ways = params.guidance_scale > 1, sorted(mitigations)
    return sha256_of([model, what, guided, ways, device, dtype, threads])


def calibration(measurements: Sequence[Measurement]) -> Calibration:
    """What the measurements of a key say, oldest first, apart from memory that ran out."""
    return calibrate(
        [
            Measured(each.projected, each.actual)
            for each in measurements
            if each.projected is not None and not each.at_least
        ]
    )


def factor(measurements: Sequence[Measurement]) -> float:
    """What to multiply predictions of a key by, after these measurements of it, oldest first.

    Within 10 % either way; more only where memory ran out, until it went well three times.
    """
    recent = measurements[-RECENT:]
    well = [place for place, each in enumerate(recent) if not each.at_least]
    since = well[-_CLEARING] if len(well) >= _CLEARING else 0
    ran_out = [
        each.actual / each.projected for each in recent[since:] if each.at_least and each.projected
    ]
    return max([calibration(measurements).factor, *ran_out])


def is_miss(measured: Measurement) -> bool:
    """Whether the prediction of it was wrong about something: by more than is corrected, and more
    than what is added for safety covers anyway."""
    if measured.projected is None or measured.at_least:
        return False
    return is_off(measured.projected, measured.actual)


def is_off(projected: int, actual: int) -> bool:
    """Whether bytes that were predicted are further off than is made up for."""
    misses = calibrate([Measured(projected, actual)]).misses
    return bool(misses) and abs(actual - projected) > _SMALL


def weighs_otherwise(ran: Ran, preset: ImagePreset) -> bool:
    """Whether a job of a preset, as that is now, found its weights to take something else than it
    says, in the number format that it says it of."""
    device: Any = ran.environment.device.partition(":")[0]
    dtype = formats.running(preset.dtype, ran.pipeline, device)
    if ran.revision != preset.revision or ran.environment.dtype != dtype or not ran.model_weights:
        return False
    return round((preset.vram_weights_mib or 0.0) * MIB) != ran.model_weights


def rows(
    ran: Ran, profile: ImageProfile | None, factor_of: Factor, at: datetime
) -> list[Measurement]:
    """A row for each phase that was measured.

    Args:
        profile: of its model; None if it is not known, so that nothing was predicted.
        at: when, in UTC.
    """
    ways = {use.mitigations for use in ran.phases}
    by_way = {way: _foreseen(ran, way, profile, factor_of) for way in ways}
    return [_measurement(ran, use, by_way[use.mitigations], profile, at) for use in ran.phases]


class _Foreseen(NamedTuple):
    """A phase, in bytes."""

    key: str
    projected: int
    corrected: int


def _measurement(
    ran: Ran,
    use: PhaseUse,
    foreseen: Mapping[Phase, _Foreseen],
    profile: ImageProfile | None,
    at: datetime,
) -> Measurement:
    found = foreseen.get(use.phase)
    actual, converted, weights = use.bytes, 0, None
    if profile is not None and found is not None:
        converted = profile.decoding_weights if use.phase == "vae_decode" else 0
        weights = sum(profile.weights.values()) + profile.lora_bytes + converted
        if use.at_least:
            actual = max(actual, round(found.corrected * INFLATION))
    return Measurement(
        job_id=ran.job_id,
        attempt=ran.attempt,
        preset=ran.preset,
        model=ran.model,
        key=_unknown(ran, use) if found is None else found.key,
        run_key=_run_key(ran),
        phase=use.phase,
        width=ran.params.width,
        height=ran.params.height,
        num_images=ran.params.num_images,
        mitigations=use.mitigations,
        device=ran.environment.device,
        projected=None if found is None else found.projected,
        corrected=None if found is None else found.corrected,
        actual=actual,
        at_least=use.at_least,
        known=use.known,
        projected_weights=weights,
        weights=ran.weights + converted,
        seconds=ran.seconds.get(_STAGES[use.phase], 0.0),
        run_seconds=_run_seconds(ran),
        created_at=at,
    )


def _foreseen(
    ran: Ran, mitigations: Sequence[str], profile: ImageProfile | None, factor_of: Factor
) -> dict[Phase, _Foreseen]:
    """What was predicted of the phases that ran with these mitigations."""
    if profile is None:
        return {}
    device, threads = ran.environment.device, ran.environment.threads
    work = work_of(profile, ran.params, mitigations)
    try:
        known = keys(profile, work, device, mitigations)
        factors = {phase: factor_of(key) for phase, key in known.items()}
        around = Surroundings(threads=threads)
        plain = image.predict(profile, work, around).phases_mib
        mended = image.predict(profile, work, around, factors).phases_mib
    except LookupError:
        return {}
    return {
        phase: _Foreseen(key, round(plain[phase] * MIB), round(mended[phase] * MIB))
        for phase, key in known.items()
        if phase in plain
    }


def _unknown(ran: Ran, use: PhaseUse) -> str:
    """The key where nothing was predicted."""
    environment = ran.environment
    what = [ran.model, use.phase, environment.dtype, environment.device, use.mitigations]
    return sha256_of(what)


def _of_phase(phase: Phase, mitigations: Sequence[str]) -> list[str]:
    # Where the weights lie changes nothing of what is computed.
    return sorted(without_offload(mitigations)) if phase == "vae_decode" else []


def _run_key(ran: Ran) -> str:
    on = ran.environment
    return run_key(ran.model, ran.params, ran.mitigations, on.device, on.dtype, on.threads)


def _run_seconds(ran: Ran) -> float | None:
    """Without loading, which depends on what ran before; None where something was done twice,
    because memory ran out."""
    if not ran.seconds or any(use.at_least for use in ran.phases):
        return None
    return sum(s for stage, s in ran.seconds.items() if stage != "load")
