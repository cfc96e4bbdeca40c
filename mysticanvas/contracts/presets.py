"""Presets: a model under a name, with its defaults."""

from __future__ import annotations

from pydantic import JsonValue

from mysticanvas.contracts.base import Contract

STARTER = "starter"
"""Name of the preset that ships with the package."""


class ImagePreset(Contract):
    """A diffusers folder under a name. `default_params` are arguments of `generate`."""

    name: str
    model: str
    """Absolute path of a diffusers folder."""
    dtype: str = "auto"
    default_params: dict[str, JsonValue] = {}
