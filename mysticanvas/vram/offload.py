"""Weights of which only a part is on the device at any time: how much, by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

from mysticanvas.contracts.mitigations import Offload
from mysticanvas.contracts.tracing import ImageProfile, Moved
from mysticanvas.vram import pinned as memory


def possible(profile: ImageProfile) -> tuple[Offload, ...]:
    """How a model can be offloaded: where there is a CPU beside the device, as far as it is known
    what is moved at once."""
    return profile.offloads if profile.device == "cuda" and profile.moved else ()


def resident(profile: ImageProfile, offload: Offload | None) -> Mapping[str, int]:
    """Component -> bytes of the weights that are on the device in every phase: those of components
    that run in none that is known, which may be there at any time, and without offload all."""
    moved = set() if offload is None else {each.component for each in profile.traced}
    return {name: size for name, size in profile.weights.items() if name not in moved}


def moved(profile: ImageProfile, component: str, offload: Offload | None) -> int:
    """Bytes of a component's weights that are on the device at most while it runs."""
    if offload is None:
        return 0
    return at_most(profile.weights.get(component, 0), profile.moved.get(component), offload)


def at_most(size: int, at_once: Moved | None, offload: Offload) -> int:
    """Bytes of weights that are on the device at most while what has them runs.

    Args:
        size: bytes of all of them.
        at_once: what is moved at once, as far as it is known.
    """
    if offload == "offload_model" or at_once is None:
        return size
    return min(size, at_once.layers if offload == "offload_sequential" else at_once.groups)


def converted(profile: ImageProfile, offload: Offload | None) -> int:
    """Bytes that the autoencoder's weights take more while it decodes."""
    if offload != "offload_sequential":
        return profile.decoding_weights
    # Twice as many for each layer.
    return moved(profile, "vae", offload) if profile.decoding_weights else 0


def pinned(profile: ImageProfile, offload: Offload | None) -> int:
    """Bytes of system memory at most that weights take more there, being pinned: those of the
    denoiser, where the next layer is moved in while one computes."""
    if offload != "offload_group":
        return 0
    denoisers = {each.component for each in profile.traced if each.key.phase == "denoise"}
    return memory.slack(sum(profile.weights.get(name, 0) for name in denoisers))
