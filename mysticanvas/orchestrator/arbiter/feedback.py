"""Compares what jobs took of the memory with what was predicted, and learns from it."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from mysticanvas import logs
from mysticanvas.contracts import conditioning
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.measurements import Accuracy, JobMemory, Measurement
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile, Phase
from mysticanvas.errors import StoreError
from mysticanvas.orchestrator.arbiter import alerts, comparison
from mysticanvas.orchestrator.arbiter.comparison import Ran
from mysticanvas.orchestrator.arbiter.planning import MIB
from mysticanvas.orchestrator.arbiter.profiles import Batches, Profiles, Subject
from mysticanvas.orchestrator.events import Bus
from mysticanvas.vram.calibration import RECENT

_RUNS = 5
"""Jobs of a kind whose time counts, the newest ones."""
_log = logs.get(__name__)


class Keeper(Protocol):
    """Where measurements outlast the process."""

    def of_key(self, key: str, most: int) -> list[Measurement]:
        """The newest measurements of a key, oldest first."""

    def newest(self, most: int) -> list[Measurement]:
        """The newest measurements of all, oldest first."""

    def seconds(self, run_key: str, most: int) -> list[float]:
        """How long the newest jobs of a kind took, newest first."""

    def accuracy(self) -> list[Accuracy]:
        """How near predictions came."""


class Presets(Protocol):
    """Where presets say what their weights take."""

    def known(self, name: str) -> ImagePreset | None:
        """The preset of that name; None if there is none."""

    def measured(self, preset: ImagePreset, mib: float) -> None:
        """Keep what its weights were measured to take."""


class Feedback:
    """What was measured, for use from any thread. Nothing that goes wrong here fails a job.

    Args:
        keeper: has the measurements of earlier processes.
        profiles: what was traced of models.
        bus: hears of each job that was measured, as `vram`.
        alert: hears of measurements that contradict their prediction.
        presets: get the weights that were measured; None to leave them as they are.
    """

    def __init__(
        self,
        keeper: Keeper,
        profiles: Profiles,
        bus: Bus,
        alert: Callable[[Alert], None],
        presets: Presets | None = None,
    ) -> None:
        self._presets = presets
        self._keeper = keeper
        self._profiles = profiles
        self._bus = bus
        self._alert = alert
        self._recent: dict[str, list[Measurement]] = {}
        self._told: set[tuple[object, ...]] = set()
        self._lock = threading.Lock()

    def learn(self, ran: Ran, profile: ImageProfile | None = None) -> list[Measurement]:
        """Compare what a job took with its prediction, and learn from it; takes milliseconds.

        Args:
            profile: of its model; looked up if it is not given. Without one, there is nothing to
                compare with.

        Returns:
            What is to be kept with the end of the job, and told then; nothing, if nothing was
            measured.
        """
        if not ran.phases:
            return []
        try:
            profile = profile or self._known(ran)
            measured = comparison.rows(ran, profile, self.factor, datetime.now(UTC))
            self._remember(measured)
        except Exception:  # noqa: BLE001 - whatever it is, the pictures are there
            _log.warning("measurement_lost", exc_info=True)
            return []
        return measured

    def tell(self, measured: Sequence[Measurement], worker: str) -> None:
        """Let it be known what a job took, and what of it contradicts the prediction.

        Args:
            measured: by `learn`.
            worker: kind of the one that it ran on.
        """
        if not measured:
            return
        try:
            self._bus.publish("vram", JobMemory.of(measured).model_dump(mode="json"))
            for each in measured:
                self._warn(each, worker)
        except Exception:  # noqa: BLE001 - the job is over
            _log.warning("measurement_not_told", exc_info=True)

    def weigh(self, ran: Ran, worker: str) -> None:
        """Have the preset of a job say what its weights took, should that be something else than
        what was counted in its files.

        Args:
            worker: kind of the one that it ran on.
        """
        if self._presets is None:
            return
        try:
            preset = self._presets.known(ran.preset)
            if preset is None or not comparison.weighs_otherwise(ran, preset):
                return
            counted, took = preset.vram_weights_mib, ran.model_weights / MIB
            self._presets.measured(preset, took)
            _log.info(
                "preset_weighs_otherwise",
                preset=preset.name,
                counted_mib=counted,
                measured_mib=took,
                dtype=ran.environment.dtype,
            )
            if counted and comparison.is_off(round(counted * MIB), ran.model_weights):
                self._alert(alerts.of_weights(ran, counted, worker, datetime.now(UTC)))
        except Exception:  # noqa: BLE001 - the job is over
            _log.warning("weights_not_kept", exc_info=True)

    def factors(
        self, profile: ImageProfile, params: ResolvedParams, device: str, mitigations: Sequence[str]
    ) -> Mapping[Phase, float]:
        """What to multiply the prediction of each phase by, for `vram.image.predict`.

        Args:
            device: such as `cpu` or `cuda:NVIDIA GeForce RTX 4090`.
            mitigations: with which it would decode.

        Raises:
            LookupError: the profile has no envelope for the request.
        """
        work = comparison.work_of(profile, params, mitigations)
        keys = comparison.keys(profile, work, device, mitigations)
        return {phase: self.factor(key) for phase, key in keys.items()}

    def factor(self, key: str) -> float:
        """What to multiply predictions of a key by; 1 if nothing is known of it."""
        with self._lock:
            return comparison.factor(self._of_key(key))

    def seconds(self, run_key: str) -> float | None:
        """How long jobs of a kind take without loading the model, from the newest of them; None
        before the first.

        Args:
            run_key: see `comparison.run_key`.
        """
        try:
            found = self._keeper.seconds(run_key, _RUNS)
        except StoreError:
            return None
        return statistics.median(found) if found else None

    def history(self, most: int) -> list[Measurement]:
        """The newest measurements, oldest first.

        Raises:
            StoreError: the store could not answer.
        """
        return self._keeper.newest(most)

    def accuracy(self) -> list[Accuracy]:
        """How near predictions came: over all measurements that are kept, then by device and
        preset.

        Raises:
            StoreError: the store could not answer.
        """
        return self._keeper.accuracy()

    def _remember(self, measured: Sequence[Measurement]) -> None:
        with self._lock:
            for each in measured:
                recent = self._of_key(each.key)
                recent.append(each)
                del recent[:-RECENT]

    def _warn(self, measured: Measurement, worker: str) -> None:
        """Once for a kind of phase and size, since the same would be said after every job."""
        what = measured.key, measured.width, measured.height, measured.num_images
        if comparison.is_miss(measured) and what not in self._told:
            self._told.add(what)
            self._alert(alerts.of(measured, worker))

    def _of_key(self, key: str) -> list[Measurement]:
        """Under the lock."""
        if key not in self._recent:
            try:
                self._recent[key] = self._keeper.of_key(key, RECENT)
            except StoreError:
                return []
        return self._recent[key]

    def _known(self, ran: Ran) -> ImageProfile | None:
        environment = ran.environment
        dtype: Any = environment.dtype
        device: Any = environment.device.partition(":")[0]
        counts = {1, ran.params.num_images}
        guided = conditioning.of(ran.pipeline).is_guided(ran.params.guidance_scale)
        subject = Subject("", ran.model, dtype, device, lora_digests=ran.loras)
        return self._profiles.known(
            subject, [Batches.of(count, guided) for count in sorted(counts)]
        )
