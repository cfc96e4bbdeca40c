"""The allocator of CUDA, played for whole jobs, against what an H200 had really reserved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.mitigations import tile_px
from mysticanvas.contracts.tracing import TraceOrder
from mysticanvas.errors import ModelFileError
from mysticanvas.settings import data_folder
from mysticanvas.workers.image import components, reserve
from mysticanvas.workers.image.reserve import Device, Player

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results" / "gpu-nvidia-h200.json"
ORDER = TraceOrder(
    path=str(data_folder() / "architectures" / "stable-diffusion-1"),
    dtype="float16",
    device="cuda",
)
MODEL = components.of(ORDER)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


@pytest.fixture(scope="module")
def players(measured: dict[str, Any]) -> dict[bool, Player]:
    """Segments grow -> who plays them on that device."""
    assert measured["probes"]["copies_input"] == ORDER.copies_input
    workspace = measured["probes"]["workspace"]
    return {growing: Player(MODEL, ORDER, Device(workspace, growing)) for growing in (True, False)}


@pytest.mark.parametrize(
    ("point", "work", "growing"),
    [
        ("512×512", {}, True),
        ("768×768 unguided", {"guided": False}, True),
        ("768×512 ×2", {"num_images": 2}, True),
        ("832×640 ×3", {"num_images": 3}, True),
        ("768×768 ×4 vae_slicing", {"num_images": 4, "sliced": True}, True),
        ("896×896 vae_tiling", {"tile_px": tile_px(896)}, True),
        (
            "1024×768 ×2 vae_slicing vae_tiling",
            {"num_images": 2, "sliced": True, "tile_px": tile_px(1024)},
            True,
        ),
        ("512×512 vae_cpu", {"decode_on_cpu": True}, True),
        ("1024×1024 fixed", {}, False),
    ],
)
def test_what_a_gpu_had_reserved_is_met_within_one_percent(
    measured: dict[str, Any],
    players: dict[bool, Player],
    point: str,
    work: dict[str, Any],
    growing: bool,
) -> None:
    [row] = [each for each in measured["rows"] if each["name"] == f"sd15 {point}"]
    width, height = map(int, point.split()[0].split("×"))
    found = players[growing].usage(ImageWork(width=width, height=height, **work))
    assert found.reserved == pytest.approx(row["measured"]["reserved"], rel=0.01)
    assert found.reserved >= found.allocated


def test_weights_that_no_part_has_count_and_those_that_one_has_do_not_twice() -> None:
    work = ImageWork(width=256, height=256, decode_on_cpu=True)
    more = {"vae": 1000, "safety_checker": 600 << 20}
    plain, with_more = (
        Player(MODEL, ORDER, Device(0), weights).usage(work).allocated for weights in ({}, more)
    )
    assert with_more - plain == 600 << 20


def test_adapters_lie_there_throughout() -> None:
    player = Player(MODEL, ORDER, Device(0))
    work = ImageWork(width=256, height=256, decode_on_cpu=True)
    adapted = work.model_copy(update={"lora_bytes": 64 << 20})
    assert player.usage(adapted).allocated - player.usage(work).allocated == 64 << 20


def test_an_autoencoder_that_is_converted_takes_more() -> None:
    vae = MODEL.parts["vae"]
    upcast = vae._replace(config={**vae.config, "force_upcast": True})
    half = vae._replace(config={**vae.config, "force_upcast": False})
    work = ImageWork(width=256, height=256)
    more, less = (
        Player(MODEL._replace(parts={**MODEL.parts, "vae": part}), ORDER, Device(0))
        .usage(work)
        .reserved
        for part in (upcast, half)
    )
    assert more > 1.1 * less


def test_a_job_is_played_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    works = [ImageWork(width=side, height=256, decode_on_cpu=True) for side in (256, 320)]
    device = Device(8 << 20)
    found = reserve.reserved(ORDER, {}, works, device)
    assert found[0] < found[1]
    monkeypatch.setattr(Player, "usage", None)
    assert reserve.reserved(ORDER, {}, works[::-1], device) == found[::-1]
    with pytest.raises(TypeError):
        reserve.reserved(ORDER, {}, works, Device(9 << 20))


def test_a_size_that_a_model_does_not_take_is_an_error_of_ours() -> None:
    order = ORDER.model_copy(
        update={"path": str(data_folder() / "architectures" / "stable-diffusion-3")}
    )
    with pytest.raises(ModelFileError, match="SD3Transformer2DModel"):
        reserve.reserved(order, {}, [ImageWork(width=8, height=8)], Device(0))
