"""What is kept of what workers compute on."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.computed_on import ComputedOn
from mysticanvas.settings import Settings
from mysticanvas.store import Store


def workers(**kinds: str | None) -> list[Any]:
    return [
        SimpleNamespace(kind=kind, status=SimpleNamespace(device_kind=device))
        for kind, device in kinds.items()
    ]


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ((None, "cuda", None), "cuda"),
        (("cpu",), None),
        (("cpu", "mps"), "mps"),
        # As an engine says that does not keep to what the one before did.
        (("cuda", "cpu"), "cpu"),
    ],
)
def test_it_is_what_each_of_them_said_last(
    tmp_path: Path, told: tuple[str | None, ...], kept: str | None
) -> None:
    settings = Settings(home=tmp_path)
    with Store.open(HomePaths.of(tmp_path)) as store:
        for device in told:
            ComputedOn(store.facts, workers(image=device, llm=None), settings).look()
        after = ComputedOn(store.facts, workers(image=None, llm=None), settings)
        assert (after.before("image"), after.before("llm")) == (kept, None)


def test_what_another_machine_had_says_nothing_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(machine: str, device: str | None) -> str | None:
        monkeypatch.setattr(platform, "node", lambda: machine)
        computed_on = ComputedOn(store.facts, workers(image=device), Settings(home=tmp_path))
        computed_on.look()
        return computed_on.before("image")

    with Store.open(HomePaths.of(tmp_path)) as store:
        assert kept("a", "cuda") == "cuda"
        assert kept("b", "cpu") is None
        # Nor does what the other one has since make up for what was lost here.
        assert kept("a", None) == "cuda"


def test_what_is_kept_and_known_to_nobody_is_nothing(tmp_path: Path) -> None:
    with Store.open(HomePaths.of(tmp_path)) as store:
        store.facts.set("device.image", ["of", "a later version"])
        assert ComputedOn(store.facts, [], Settings(home=tmp_path)).before("image") is None
