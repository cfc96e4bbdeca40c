"""Variables that our processes get: of our own environment, those on a list, so that secrets stay
behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mysticanvas import import_path

INHERITED = [
    "HOME",
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "USER",
    "LOGNAME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "SSL_CERT_FILE",
    "LD_LIBRARY_PATH",
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "CUDA_HOME",
    "NVIDIA_VISIBLE_DEVICES",
    "PYTHONDONTWRITEBYTECODE",
    "COVERAGE_PROCESS_START",
    "MYSTICANVAS_LOG_LEVEL",
]
"""Variables that a child gets from its parent: an allow-list, so that secrets stay behind."""


NETWORK = [
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_TOKEN_PATH",
    "TRANSFORMERS_OFFLINE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_DIR",
]
"""Variables that say how the hub is reached, for a child that asks it; no token is among them."""


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: the allow-list, where it finds us, and `extra`."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, **import_path.needed(os.environ, Path(__file__).parent), **extra}


def network_environment() -> dict[str, str]:
    """What a child needs beside `child_environment` to reach the hub as its parent would."""
    return {name: os.environ[name] for name in NETWORK if name in os.environ}


def engine_environment(threads: int) -> dict[str, str]:
    """Variables of a worker that computes: thread counts, no spinning, no network.

    A spinning OpenMP pool makes a UNet several times slower as soon as anything else runs.
    """
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "DIFFUSERS_VERBOSITY": "error",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "MALLOC_ARENA_MAX": "2",
        "CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        # Segments that grow: what is reserved on a GPU is then what was needed, not up to twice it.
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        # ggml would start a debugger to say where it gave up.
        "GGML_NO_BACKTRACE": "1",
    }
