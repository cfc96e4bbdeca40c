import pytest
import torch

from mysticanvas.contracts.memory import IN_USE, MemoryPart
from mysticanvas.errors import InvalidRequest
from mysticanvas.workers.image import devices

NO_NVML = (
    'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/pytorch/c10/cuda/CUDACachingAllocator.cpp":1131,'
    " please report a bug to PyTorch. "
)


def test_auto_is_a_device_that_computes() -> None:
    device = devices.choose("auto")
    assert torch.ones(2, device=device).sum().item() == 2
    assert devices.describe(device).startswith(device.type)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(InvalidRequest, match="no device 'cuda'") as caught:
        devices.choose("cuda")
    assert "cpu" in caught.value.allowed
    assert "MYSTICANVAS_DEVICE" in caught.value.hint


@pytest.mark.parametrize(
    ("device", "wanted", "dtype"),
    [
        ("cpu", "auto", torch.float32),
        ("mps", "auto", torch.float32),
        ("cuda", "auto", torch.float16),
        ("cpu", "bfloat16", torch.bfloat16),
        ("cuda", "float32", torch.float32),
    ],
)
def test_the_number_format_suits_the_device(device: str, wanted: str, dtype: torch.dtype) -> None:
    assert devices.dtype_for(torch.device(device), wanted, transformer=False) is dtype


def test_the_environment_names_what_changes_pixels() -> None:
    environment = devices.environment(torch.device("cpu"), torch.float32)
    assert (environment.device, environment.dtype) == ("cpu", "float32")
    assert environment.threads == torch.get_num_threads()
    assert environment.versions["torch"] == torch.__version__
    assert {"python", "diffusers", "transformers", "mysticanvas"} <= environment.versions.keys()


def test_running_out_of_memory_is_recognized() -> None:
    with pytest.raises(RuntimeError) as real:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert devices.is_out_of_memory(real.value)
    assert devices.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not devices.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not devices.is_out_of_memory(ValueError("DefaultCPUAllocator"))


def test_what_torch_has_of_a_gpu_beside_weights_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda")
    weights = [
        MemoryPart(name=f"weights.{place}", mib=mib, known="exact", device=place)
        for place, mib in (("cuda:0", 7_000), ("cpu", 500))
    ]
    assert devices.allocator_parts(device, weights) == []
    monkeypatch.setattr(devices, "has_context", lambda _: True)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 12_000 << 20)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 12_600 << 20)
    parts = devices.allocator_parts(device, weights)
    assert {part.name: part.mib for part in parts} == {IN_USE: 5_000, "reserved": 600}
    # While a model is loaded, it is nobody's weights yet.
    assert devices.allocator_parts(device, [])[0].mib == 12_000
    # Those of an offloaded job come and go.
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 3_000 << 20)
    assert devices.allocator_parts(device, weights)[0].mib == 0


@pytest.mark.parametrize(
    ("error", "is_about_memory"),
    [
        (
            torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be ..."),
            True,
        ),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (
            RuntimeError(
                "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
            ),
            True,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), True),
        (RuntimeError(NO_NVML), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), False),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm`"),
            False,
        ),
        (RuntimeError(NO_NVML.replace("CUDACachingAllocator", "CUDAHooks")), False),
    ],
    ids=lambda each: str(each)[:40],
)
def test_it_is_recognized_in_what_the_libraries_around_the_allocator_say(
    error: Exception, is_about_memory: bool
) -> None:
    assert devices.is_out_of_memory(error) == is_about_memory


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: unspecified launch failure",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA driver error: device-side assert triggered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "cuFFT error: CUFFT_EXEC_FAILED",
    ],
)
def test_a_lost_device_is_recognized_in_an_error_and_in_what_it_comes_from(text: str) -> None:
    error = RuntimeError(f"{text}\nCUDA kernel errors might be asynchronously reported")
    assert devices.lost(error) == text
    with pytest.raises(ValueError, match="other") as caught:
        try:
            raise error
        except RuntimeError as cause:
            raise ValueError("other") from cause
    assert devices.lost(caught.value) == text


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory"),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
        # Another process would not get over these.
        torch.AcceleratorError("CUDA error: no kernel image is available for execution"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("CUDA error: unspecified launch failure"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_no_other_error_is_taken_for_a_lost_device(error: Exception) -> None:
    assert devices.lost(error) is None
