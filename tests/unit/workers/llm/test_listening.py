"""Lines of llama.cpp's log."""

from __future__ import annotations

from mysticanvas.workers.llm.listening import Said, buffers, cache_mib, devices

LOADED = [
    "load_tensors:          CPU model buffer size =    70.31 MiB",
    "load_tensors:        CUDA0 model buffer size =  4155.99 MiB",
    "llama_context:  CUDA_Host  output buffer size =     0.49 MiB",
    "llama_kv_cache:      CUDA0 KV buffer size =   100.00 MiB",
    "llama_kv_cache: size =  100.00 MiB (  4096 cells,  16 layers,  1/1 seqs), K (f16): 50.00 MiB",
    "llama_kv_cache:      CUDA0 KV buffer size =    20.00 MiB",
    "llama_kv_cache: size =   20.00 MiB (  1536 cells,  16 layers,  1/1 seqs), K (f16): 10.00 MiB",
    "llama_memory_recurrent:      CUDA0 RS buffer size =     5.25 MiB",
    "sched_reserve:      CUDA0 compute buffer size =   258.50 MiB",
    "sched_reserve:  CUDA_Host compute buffer size =    16.01 MiB",
    "~llama_context: CPU compute buffer size is  16.0100 MiB, matches expectation of  16.0100 MiB",
]


def test_buffers_by_name_and_device() -> None:
    found = {(part.name, part.device): part.mib for part in buffers(LOADED)}
    assert found == {
        ("weights", "CPU"): 70.31,
        ("weights", "CUDA0"): 4155.99,
        ("output", "CUDA_Host"): 0.49,
        ("kv cache", "CUDA0"): 125.25,
        ("compute", "CUDA0"): 258.5,
        ("compute", "CUDA_Host"): 16.01,
    }


def test_layers_by_device() -> None:
    lines = [
        "load_tensors: layer  10 assigned to device CUDA0, is_swa = 0",
        *(f"load_tensors: layer  {k: 2d} assigned to device CPU, is_swa = 1" for k in range(10)),
    ]
    assert devices(lines) == ["CPU"] * 10 + ["CUDA0"]
    assert devices(LOADED) == []


def test_caches_are_told_where_nothing_is_allocated() -> None:
    assert cache_mib(LOADED) == 120.0


def test_the_last_error_is_the_reason() -> None:
    said = Said()
    assert said.reason == ""
    said.errors += [
        "llama_model_load: error loading model: no such key",
        "llama_model_load_from_file_impl: failed to load model",
    ]
    assert said.reason == "error loading model: no such key"
    assert not said.ran_out_of_memory
    said.errors.append("alloc_tensor_range: failed to allocate CPU buffer of size 123")
    assert said.ran_out_of_memory
