"""Which GPU the driver is asked about, by what processes are shown."""

# ruff: noqa: N802  # as the library calls them
from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from benchmarks.gpu import nvml
from mysticanvas import environment, nvidia
from mysticanvas.orchestrator.arbiter import formats
from mysticanvas.workers.image import devices

IDS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-8a11aaaa-0000-4106-c12f-20bd9faed9f6")


class Library:
    """Stands in for NVIDIA's, on a machine with two GPUs."""

    NVMLError = pynvml.NVMLError
    NVML_DEVICE_MIG_ENABLE = 1
    ids: tuple[str, ...] = IDS
    divided = False
    capability = (9, 0)
    opened = 0
    """How often it was set up and not given back."""
    error: int | None = None
    """What it answers everything with, until it is set up the next time."""
    broken: int | None = None
    """What it cannot be set up for."""

    def nvmlInit(self) -> None:
        if self.broken is not None:
            raise pynvml.NVMLError(self.broken)
        self.opened += 1
        self.error = None

    def nvmlShutdown(self) -> None:
        self.opened -= 1
        if self.error is not None:
            raise pynvml.NVMLError(self.error)

    def nvmlDeviceGetCount(self) -> int:
        return len(self.ids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self.ids[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:
        if not uuid.startswith("MIG-") or "none" in uuid:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetMigMode(self, _: str) -> tuple[int, int]:
        if not self.divided:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 1, 1

    def nvmlDeviceGetCudaComputeCapability(self, _: str) -> tuple[int, int]:
        if self.error is not None:
            raise pynvml.NVMLError(self.error)
        return self.capability

    def nvmlDeviceGetName(self, _: str) -> str:
        return "A"

    def nvmlDeviceGetMemoryInfo(self, _: str) -> Any:
        if self.error is not None:
            raise pynvml.NVMLError(self.error)
        return SimpleNamespace(total=24 << 30, free=15 << 30)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """What the driver's library is for this test; no variable says which GPU."""
    found = Library()
    for name in ("NVMLError", *(each for each in dir(Library) if each.startswith("nvml"))):
        monkeypatch.setattr(pynvml, name, getattr(found, name))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nvidia, "AGAIN_S", 0.0)
    monkeypatch.setattr(nvidia, "_DRIVER", nvidia.Driver())
    return found


def asked() -> str | None:
    """The GPU that is asked about; None if none is."""
    handle: str | None = nvidia.told(lambda _, gpu: gpu)
    return handle


@pytest.mark.parametrize(
    ("visible", "handle"),
    [
        (None, IDS[0]),
        ("1", IDS[1]),
        (" 1 ,0", IDS[1]),
        (IDS[1], IDS[1]),
        # CUDA takes the beginning of an id, as long as it means one.
        ("GPU-8a11", IDS[1]),
        ("GPU-8", None),
        ("GPU-f", None),
        ("MIG-4ee0-aa,MIG-b", "MIG-4ee0-aa"),
        ("MIG-none", None),
        ("2", None),
        ("", None),
        ("-1", None),
        ("NoDevFiles", None),
    ],
)
@pytest.mark.usefixtures("library")
def test_it_is_the_first_that_processes_are_shown_or_none(
    visible: str | None, handle: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert asked() == handle


def test_of_one_that_is_divided_it_is_not_known_which_part(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.divided = True
    assert asked() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a")
    monkeypatch.setattr(nvidia, "_DRIVER", nvidia.Driver())
    assert asked() == "MIG-a"


@pytest.mark.parametrize(("ids", "handle"), [(IDS, None), (IDS[:1], IDS[0])])
def test_a_number_in_an_order_of_cuda_s_own_means_one_only_if_there_is_one(
    library: Library, monkeypatch: pytest.MonkeyPatch, ids: tuple[str, ...], handle: str | None
) -> None:
    library.ids = ids
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert asked() == handle


@pytest.mark.parametrize(
    ("given", "order"), [(None, nvidia.BY_BUS), ("FASTEST_FIRST", "FASTEST_FIRST")]
)
def test_processes_that_compute_number_gpus_as_the_driver_does_unless_they_are_told_otherwise(
    given: str | None, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", given)
    variables = environment.child_environment(environment.engine_environment(1))
    assert variables["CUDA_DEVICE_ORDER"] == order
    # Through an orchestrator, which computes nothing.
    assert environment.child_environment({}).get("CUDA_DEVICE_ORDER") == given


@pytest.mark.parametrize(
    ("capability", "dtype"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float32")]
)
def test_worker_and_plans_agree_on_the_number_format_of_a_transformer(
    library: Library, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str
) -> None:
    library.capability = capability
    # It says so of cards as well that only imitate it.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    told = devices.dtype_for(torch.device("cuda"), "auto", transformer=True)
    assert devices.name_of(told) == dtype
    assert formats.running("auto", "FluxPipeline", "cuda") == dtype
    assert formats.running("auto", "StableDiffusionPipeline", "cuda") == "float16"
    assert formats.running("bfloat16", "FluxPipeline", "cuda") == "bfloat16"


def test_benchmarks_ask_about_the_same_gpu(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {IDS[0]: 5, IDS[1]: 7}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMemoryInfo", lambda gpu: type("Memory", (), {"used": used[gpu]})
    )
    assert asked() == library.ids[1]
    assert nvml.used() == 7


@pytest.mark.fault("a driver that was loaded anew", "asked again; nothing is assumed of its GPU")
@pytest.mark.parametrize(
    "error",
    [pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_UNKNOWN],
)
def test_a_library_that_fails_is_set_up_anew(library: Library, error: int) -> None:
    library.capability = (7, 5)
    assert not nvidia.has_bfloat16()
    library.error = error
    assert not nvidia.has_bfloat16()
    library.error = error
    assert nvidia.free_mib() == 15 << 10
    assert library.opened == 1


@pytest.mark.fault("a driver that is gone", "what is known of its GPU holds; it is found again")
def test_a_driver_that_is_gone_is_looked_for_again_and_let_go(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.capability = (7, 5)
    assert not nvidia.has_bfloat16()
    library.error = library.broken = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    assert (nvidia.free_mib(), nvidia.has_bfloat16()) == (None, False)
    # Or it could not be loaded anew.
    assert library.opened == 0
    library.broken = None
    # Not at each look, where there is none.
    with monkeypatch.context() as patch:
        patch.setattr(nvidia._DRIVER, "_again_at", time.monotonic() + 60)
        assert nvidia.free_mib() is None
    assert nvidia.free_mib() == 15 << 10


def test_what_a_driver_cannot_tell_is_no_failure_of_it(library: Library) -> None:
    assert nvidia.free_mib() is not None
    library.error = pynvml.NVML_ERROR_NOT_SUPPORTED
    # As of one that fails whatever is done: others may still be told.
    for error in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_UNKNOWN):

        def fail(*_: Any, error: int = error) -> None:
            raise pynvml.NVMLError(error)

        assert nvidia.told(fail) is None
    library.error = None
    assert (nvidia.free_mib(), library.opened) == (15 << 10, 1)


@pytest.mark.parametrize(
    "name", ["NOT_SUPPORTED", "NO_PERMISSION", "NOT_FOUND", "FUNCTION_NOT_FOUND"]
)
def test_the_library_is_not_set_up_anew_for_what_there_is_not(
    library: Library, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(nvidia, "AGAIN_S", 0.0)
    assert nvidia.free_mib() is not None
    monkeypatch.setattr(library, "nvmlInit", lambda: pytest.fail("it was set up anew"))

    def ask(*_: Any) -> None:
        raise pynvml.NVMLError(getattr(pynvml, f"NVML_ERROR_{name}"))

    assert nvidia.told(ask) is None


@pytest.mark.fault("a driver that hangs", "nothing is known of the GPU; nobody is kept")
def test_a_driver_that_hangs_keeps_nobody(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nvidia.free_mib() is not None
    monkeypatch.setattr(nvidia, "PATIENCE_S", 0.1)
    goes_on = threading.Event()
    assert nvidia.told(lambda *_: goes_on.wait(60)) is None
    monkeypatch.setattr(nvidia, "PATIENCE_S", 60.0)
    began = time.monotonic()
    assert nvidia.free_mib() is None
    assert time.monotonic() - began < 30
    goes_on.set()
    while nvidia.free_mib() is None:
        assert time.monotonic() - began < 60
    assert library.opened == 1


def test_what_whoever_asks_gets_wrong_is_raised_there(library: Library) -> None:
    with pytest.raises(AttributeError):
        nvidia.told(lambda asked, _: asked.nothing)
    assert library.opened == 1
