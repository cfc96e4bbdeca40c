"""How the device's memory is shown."""

from __future__ import annotations

from typing import Any

import pytest

from mysticanvas import InvalidRequest
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.vram import DeviceMemory, Holding, VramStatus
from mysticanvas.session.connection import Connection
from mysticanvas.session.vram import Vram

UNET = MemoryPart(name="weights.unet", mib=1_639.4, known="exact", device="cuda:0")
STATUS = VramStatus(
    device=DeviceMemory(name="cuda:<A>", total_mib=8_000, free_mib=4_000),
    holdings=[Holding(worker="image", pid=7, preset="sd15", mib=2_000, parts=[UNET])],
    foreign_mib=2_000,
)


def test_it_reads_as_who_has_how_much(connection: Connection) -> None:
    assert repr(Vram(STATUS, connection)).splitlines() == [
        "cuda:<A>: 4,000 of 8,000 MiB free",
        "      2,000 MiB  image worker, sd15",
        "        1,639.4 MiB  weights.unet (exact)",
        "      2,000 MiB  other programs",
    ]


def test_its_meter_is_in_proportion_and_escaped(connection: Connection) -> None:
    shown = Vram(STATUS, connection)._repr_html_()
    assert shown.count("width:25.00%") == 2
    assert "cuda:&lt;A&gt;" in shown
    assert "<A>" not in shown
    assert 'role="img"' in shown


def test_an_empty_device_has_no_shares(connection: Connection) -> None:
    empty = VramStatus(device=DeviceMemory(name="system memory", total_mib=0, free_mib=0))
    assert repr(Vram(empty, connection)) == "system memory: 0 of 0 MiB free"
    assert "■" not in Vram(empty, connection)._repr_html_()


@pytest.mark.parametrize(
    "given", [{"by": "picture"}, {"limit": 0}, {"limit": 20_001}, {"limit": True}]
)
def test_a_history_that_there_is_not_is_refused(
    connection: Connection, given: dict[str, Any]
) -> None:
    [name] = given
    with pytest.raises(InvalidRequest, match=name):
        Vram(STATUS, connection).history(**given)
