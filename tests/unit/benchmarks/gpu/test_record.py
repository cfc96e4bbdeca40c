import json

import pytest

from benchmarks.gpu import record
from benchmarks.gpu.verdict import summary


def results() -> dict:
    return {
        "at": "2026-01-02T03:04:05+00:00",
        "device": {"name": "NVIDIA H100 80GB HBM3"},
        "versions": {"torch": "2.11.0", "driver": None},
        "probes": {"context": 500 << 20, "growing": {"accepted": True}},
        "worker_segments_grow": False,
        "attention": {"sdxl": {"operations": {"_flash": 3}}},
        "summary": {"all": summary([])},
        "rows": [{"name": "sdxl 64×64", "group": "fitted", "error": "OutOfMemoryError: much"}],
        "too_large": ["qwen-image 64×64"],
        "not_measured": ["flux 64×64"],
    }


def test_results_are_kept_under_the_name_of_their_device(tmp_path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results()))
    (tmp_path / "predictions.json").write_text('{"at": "before"}')
    kept = record.record(tmp_path, tmp_path / "kept")
    assert [path.name for path in kept] == [
        "gpu-nvidia-h100-80gb-hbm3.json",
        "gpu-nvidia-h100-80gb-hbm3.md",
    ]
    assert json.loads(kept[0].read_text())["predictions"] == {"at": "before"}
    text = kept[1].read_text()
    assert "NVIDIA H100 80GB HBM3" in text
    assert "torch 2.11.0" in text
    assert "failed: OutOfMemoryError: much" in text
    assert "Not measured, for lack of time: flux 64×64." in text
    assert "Not measured, for lack of memory: qwen-image 64×64." in text
    assert "outside of the allocator: 500 MiB" in text


def test_without_results_nothing_is_written(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        record.record(tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
