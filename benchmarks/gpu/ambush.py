"""Steps in which something happens to a job while it samples: memory goes, or its worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any, Literal

from benchmarks.gpu.steps import (
    ONLY_GPU,
    Line,
    Step,
    Surroundings,
    drawn,
    given_back,
    says,
    succeeded,
    used_mib,
)
from mysticanvas.orchestrator.arbiter.registry import CONTEXT_GPU_MIB

Leaves = Literal["tiles", "decoder"]
"""What there is to be room for: tiles beside the weights; or a whole picture without them."""
_TILES_SHARE, _WEIGHTS_SHARE = 0.35, 0.5
_LEAST_MIB = 64.0
_STARVED_SIDE = 1024
"""At most: the CPU decodes a larger picture for half a minute."""


def steps(around: Surroundings) -> Iterator[Step]:
    """All of them."""
    yield Step(
        "ambushed",
        "decoded in tiles, of what was sampled once; all is given back",
        lambda: _ambushed(around, "tiles"),
    )
    yield Step(
        "ambushed, pixels to be kept",
        "decoded by a new process, of what was sampled once; the same pixels; all is given back",
        lambda: _ambushed(around, "decoder"),
    )
    yield Step(
        "starved",
        "a picture in whatever way, which its recipe names; the next one is plain and the same",
        lambda: _starved(around),
    )
    yield Step(
        "killed",
        "a second attempt with the same pixels; all is given back",
        lambda: _killed(around),
    )


def keeps(leaves: Leaves, taken_mib: float, weights_mib: float) -> float:
    """What a worker is to have in all, in MiB: too little to decode plainly, and enough otherwise.

    Args:
        taken_mib: what was given out at the peak of the plain way, weights included.
    """
    if leaves == "tiles":
        plain = weights_mib + _TILES_SHARE * (taken_mib - weights_mib)
    else:
        plain = taken_mib - _WEIGHTS_SHARE * weights_mib
    return plain + CONTEXT_GPU_MIB


def _ambushed(around: Surroundings, leaves: Leaves) -> Line:
    exact = leaves == "decoder"
    keywords = around.large | ({"mitigations": "exact"} if exact else {})
    plain = _plain(around, keywords)
    before, size = used_mib(), _to_be_taken(around, plain, leaves)
    told = drawn(around.canvas, keywords, lambda: around.foreign.take(size)._asdict())
    around.foreign.drop()
    back = given_back(before)
    same = told.get("pixels") == plain["pixels"]
    found = told | back | {"same_pixels": same}
    sound = succeeded(told) and told.get("at_step", 0) > 0 and not told["sampled_again"]
    if not around.on_gpu:
        return found | {"ok": sound and same, "left_out": ONLY_GPU}
    sound = sound and told["attempts"] == 1 and says(["out_of_memory"], told["log"])
    if exact:
        anew = says(["decoding_anew"], told["log"]) and says(["without sampling"], told["notices"])
        sound = sound and same and anew
    else:
        sound = sound and "vae_tiling" in told["mitigations"]
    return found | {"ok": sound and back["ok"]}


def _starved(around: Surroundings) -> Line:
    side = min(_STARVED_SIDE, around.large["width"])
    keywords = around.large | {"width": side, "height": side}
    plain = _plain(around, keywords)
    before = used_mib()
    everything = around.canvas.vram.device.total_mib

    def take() -> Line:
        return around.foreign.take(everything, _LEAST_MIB)._asdict()

    told = drawn(around.canvas, keywords, take)
    around.foreign.drop()
    back = given_back(before)
    after = drawn(around.canvas, keywords)
    again = after.get("pixels") == plain["pixels"] and not after["mitigations"]
    found = told | back | {"plain_again": again}
    sound = succeeded(told) and told.get("at_step", 0) > 0 and again
    if not around.on_gpu:
        return found | {"ok": sound, "left_out": ONLY_GPU}
    return found | {"ok": sound and bool(told.get("mitigations")) and back["ok"]}


def _killed(around: Surroundings) -> Line:
    plain = _plain(around, around.large)
    before, gone = used_mib(), around.canvas.workers["image"].pid

    def kill() -> Line:
        assert gone is not None
        os.kill(gone, signal.SIGKILL)
        return {"killed": gone}

    told = drawn(around.canvas, around.large, kill)
    back = given_back(before)
    same = told.get("pixels") == plain["pixels"]
    sound = succeeded(told) and same and told["attempts"] == 2 and len(told["failures"]) == 1
    return told | back | {"ok": sound and back["ok"], "same_pixels": same}


def _plain(around: Surroundings, keywords: dict[str, Any]) -> Line:
    """The same picture with all the memory that there is, so that the model is there.

    Raises:
        RuntimeError: none came of it, or not plainly.
    """
    told = drawn(around.canvas, keywords)
    if not succeeded(told) or told["mitigations"]:
        raise RuntimeError(f"the plain picture before it: {told}")
    return told


def _to_be_taken(around: Surroundings, plain: Line, leaves: Leaves) -> float:
    """MiB that leave the worker what is wanted, whatever it holds by then.

    Args:
        plain: of the job before, whose model is there.
    """
    if not around.on_gpu:
        return 0.0
    [own] = [each for each in around.canvas.vram.workers if each.worker == "image"]
    weights = sum(part.mib for part in own.parts if part.name.startswith("weights."))
    wanted = keeps(leaves, plain["memory"][-1]["actual_mib"], weights)
    return max(0.0, around.foreign.look().free_mib + own.mib - wanted)
