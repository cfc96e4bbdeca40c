"""The device's memory, as a notebook shows it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mysticanvas.contracts.measurements import MAX_MEASUREMENTS
from mysticanvas.contracts.refusal import refused
from mysticanvas.session import bar

if TYPE_CHECKING:
    import pandas as pd

    from mysticanvas.contracts.vram import DeviceMemory, Holding, VramStatus
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.measurements import By


_FOREIGN = "#9d9d9d"


class Vram:
    """A device's memory at the moment it was asked for; a notebook shows it as a meter.

    Args:
        status: what the orchestrator tells.
        connection: to ask it for more.
    """

    def __init__(self, status: VramStatus, connection: Connection) -> None:
        self._status = status
        self._connection = connection

    @property
    def device(self) -> DeviceMemory:
        """`.name`, `.total_mib` and `.free_mib`."""
        return self._status.device

    @property
    def workers(self) -> list[Holding]:
        """What each worker has: `.worker`, `.pid`, `.preset`, `.mib`, and the `.parts` of that
        which are known."""
        return self._status.holdings

    @property
    def foreign_mib(self) -> float:
        """MiB that neither are free nor belong to a worker: other programs."""
        return self._status.foreign_mib

    def history(self, by: By = "job", limit: int = MAX_MEASUREMENTS) -> pd.DataFrame:
        """What jobs took of the memory, beside what was predicted of them, oldest first.

        With `by="job"` a row is a run of a job: `job`, `projected_mib` and `actual_mib` (its peak:
        weights and activations), and for each phase (`text_encode`, `denoise`, `vae_encode`,
        `vae_decode`) the activations as they were counted on and as they were, such as
        `denoise_projected_mib` and `denoise_actual_mib`. With `by="phase"` it is one phase of it,
        with what was predicted also before it was corrected by earlier measurements. Both have
        preset, device, size, batch, mitigations, seconds, and `ran_out`: whether memory ran out,
        so that more than `actual_mib` is needed. What was not predicted is NaN.

        Args:
            by: `job` or `phase`.
            limit: how many of the newest phases that were measured are looked at, from 1 to 20,000,
                which is all; with `by="job"`, the jobs that they are of.

        Raises:
            InvalidRequest: an argument is not allowed.
        """
        from mysticanvas.session import measurements

        if by not in ("job", "phase"):
            raise refused("by", by, "job, phase")
        if type(limit) is not int or not 1 <= limit <= MAX_MEASUREMENTS:
            raise refused("limit", limit, f"a whole number from 1 to {MAX_MEASUREMENTS:,}")
        found = self._connection.call(lambda api: api.vram_history(limit))
        return measurements.by_job(found) if by == "job" else measurements.by_phase(found[-limit:])

    def accuracy(self) -> pd.DataFrame:
        """How near predictions came to what was measured: a row for everything, which has neither
        `device` nor `preset`, then one for each device and preset. Measurements are kept of the
        newest 20,000 phases, and these are what it is about.

        Columns: `phases` that were compared, `mean` of the deviations without their signs, `worst`
        of them (above 0 if more was predicted than was taken), and `under`, the share of phases
        that took more than was predicted. Deviations are shares of what was taken.
        """
        from mysticanvas.session import measurements

        return measurements.accuracy(self._connection.call(lambda api: api.vram_accuracy()))

    def __repr__(self) -> str:
        device = self.device
        lines = [f"{device.name}: {device.free_mib:,.0f} of {device.total_mib:,.0f} MiB free"]
        for holding in self.workers:
            lines.append(f"  {holding.mib:9,.0f} MiB  {_named(holding)}")
            lines += [
                f"      {part.mib:9,.1f} MiB  {part.name} ({part.known})" for part in holding.parts
            ]
        if self.foreign_mib:
            lines.append(f"  {self.foreign_mib:9,.0f} MiB  other programs")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        shares = list(self._shares())
        legend = " · ".join(
            f"{bar.square(share.colour)} {html.escape(share.name)} {share.mib:,.0f} MiB"
            for share in shares
        )
        return (
            '<div style="max-width:40em">'
            f"<b>{html.escape(self.device.name)}</b>: {self.device.free_mib:,.0f} of "
            f"{self.device.total_mib:,.0f} MiB free"
            f"{bar.of(shares, self.device.total_mib, repr(self))}<small>{legend}</small></div>"
        )

    def _shares(self) -> Iterator[bar.Share]:
        for place, holding in enumerate(self.workers):
            yield bar.Share(_named(holding), holding.mib, bar.COLOURS[place % len(bar.COLOURS)])
        if self.foreign_mib:
            yield bar.Share("other programs", self.foreign_mib, _FOREIGN)


def _named(holding: Holding) -> str:
    pinned = " (pinned)" if holding.pinned else ""
    return f"{holding.worker} worker, {holding.preset or 'no model'}{pinned}"
