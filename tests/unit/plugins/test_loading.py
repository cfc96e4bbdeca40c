"""Broken plug-ins of every kind: each is skipped with its reason, and harms nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mysticanvas.contracts.plugins import PluginRecord
from mysticanvas.errors import InvalidRequest
from mysticanvas.plugins import loading
from mysticanvas.plugins.candidates import Candidate
from mysticanvas.plugins.hookspecs import EngineSpec, LauncherSpec, hookimpl

GOOD = EngineSpec(kind="good", path="good.engine:Engine")


def candidate(name: str, load: Callable[[], object]) -> Candidate:
    return Candidate(name, f"dist-{name}", "1.2", load)


def plugin(**hooks: Callable[..., Any]) -> SimpleNamespace:
    """An object with hooks, as a module would have them."""
    return SimpleNamespace(**{name: hookimpl(hook) for name, hook in hooks.items()})


def bringing(*engines: object) -> Callable[[], object]:
    return lambda: plugin(register_engines=lambda: engines)


def failing(error: BaseException) -> Any:
    def fail() -> object:
        raise error

    return fail


def unknown_argument() -> object:
    def register_engines(surprise: object) -> list[EngineSpec]:
        return []

    return plugin(register_engines=register_engines)


BROKEN: dict[str, tuple[Callable[[], object], str]] = {
    "import error": (failing(ImportError("no module named frobnicate")), "ImportError: no module"),
    "own way out": (failing(BaseException("out")), "BaseException: out"),
    "exit at import": (failing(SystemExit("bye")), "SystemExit: bye"),
    "hook error": (lambda: plugin(register_engines=failing(ZeroDivisionError("x"))), "ZeroDivi"),
    "not a list": (lambda: plugin(register_engines=lambda: 5), "gives 5, not a list of EngineSpec"),
    "text": (lambda: plugin(register_engines=lambda: "echo"), "not a list of EngineSpec"),
    "wrong type": (bringing("echo"), "'echo', which is no EngineSpec"),
    "one good, one wrong": (bringing(GOOD, None), "None, which is no EngineSpec"),
    "no hooks": (lambda: SimpleNamespace(x=1), "no function that is marked with @hookimpl"),
    "no plug-in": (lambda: 7, "7 has no function"),
    "unknown hook": (
        lambda: plugin(register_engine=lambda: [GOOD]),
        "unknown hook 'register_engine'",
    ),
    "unknown argument": (unknown_argument, "surprise"),
    "bad path": (lambda: plugin(register_engines=lambda: [EngineSpec(kind="x", path="?")]), "path"),
    "taken kind": (bringing(EngineSpec(kind="image", path="a:B")), "engine image is taken"),
    "twice the same": (bringing(GOOD, GOOD), "engine good is taken by itself"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_skipped_with_its_reason(case: str) -> None:
    load, reason = BROKEN[case]
    good = candidate("zgood", bringing(GOOD))
    registry = loading.load("all", [candidate("broken", load), good])
    builtin, broken, beside = registry.records
    assert (broken.name, broken.distribution, broken.version) == ("broken", "dist-broken", "1.2")
    assert (broken.state, broken.brings) == ("skipped", [])
    assert reason in broken.reason
    assert [builtin.state, beside.state] == ["loaded", "loaded"]
    assert sorted(registry.engines) == ["good", "image", "llm"]


def test_whoever_interrupts_means_everybody() -> None:
    with pytest.raises(KeyboardInterrupt):
        loading.load("all", [candidate("slow", failing(KeyboardInterrupt()))])


def test_a_plugin_whose_name_is_taken_is_skipped() -> None:
    first, second = (candidate("same", bringing(GOOD)) for _ in range(2))
    _, kept, skipped = loading.load("all", [first, second]).records
    assert (kept.state, skipped.state) == ("loaded", "skipped")
    assert skipped.reason == "the name same is taken by 'same' of dist-same"


def test_a_pipeline_has_one_engine() -> None:
    one = EngineSpec(kind="one", path="a:B", pipelines=("OnePipeline",))
    registry = loading.load(
        "all",
        [
            candidate("one", bringing(one)),
            candidate("two", bringing(one.model_copy(update={"kind": "two"}))),
        ],
    )
    assert "pipeline OnePipeline is taken by 'one'" in registry.records[-1].reason
    assert registry.kind_for("OnePipeline") == "one"
    assert registry.kind_for("StableDiffusionPipeline") == "image"


@pytest.mark.parametrize(
    ("choice", "loaded"),
    [("all", "ab"), ("off", ""), ("a", "a"), ("b, c", "b"), ("-a", "b"), ("-a,-b", ""), ("", "ab")],
)
def test_the_setting_chooses(choice: str, loaded: str) -> None:
    assert "".join(name for name in "ab" if loading.wanted(name, choice)) == loaded


def test_what_is_not_wanted_is_not_imported() -> None:
    registry = loading.load("-a", [candidate("a", failing(AssertionError("imported")))])
    assert [record.state for record in registry.records] == ["loaded", "disabled"]


def test_a_choice_that_is_not_there_says_what_is_and_what_was_skipped() -> None:
    registry = loading.load("all", [candidate("broken", failing(ImportError("no frob")))])
    with pytest.raises(InvalidRequest) as caught:
        registry.engine("echo")
    assert "'broken' (ImportError: no frob)" in str(caught.value)
    assert (caught.value.extra["parameter"], caught.value.extra["allowed"]) == (
        "MYSTICANVAS_ENGINE",
        "image, llm",
    )


def test_for_an_engine_of_ours_no_plugin_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "installed", failing(AssertionError("looked for")))
    assert loading.engine("image", "all").path == "mysticanvas.workers.image.engine:ImageEngine"


def test_the_echo_extension_is_found_by_its_entry_point() -> None:
    registry = loading.load("all")
    record = next(record for record in registry.records if record.name == "echo")
    assert (record.distribution, record.state) == ("mysticanvas-echo", "loaded")
    assert record.brings == ["engine echo", "tool echo"]
    assert loading.import_path(registry.tools["echo"].path)(text="hello") == "hello"
    assert PluginRecord.model_validate_json(record.model_dump_json()) == record


def test_a_path_that_leads_nowhere_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="has no 'Nothing'"):
        loading.import_path("mysticanvas.settings:Nothing")


def test_a_launcher_that_cannot_be_imported_is_told() -> None:
    with pytest.raises(InvalidRequest, match="'far' cannot be imported from nowhere:spawn"):
        loading.launcher(LauncherSpec(name="far", path="nowhere:spawn"))


@pytest.mark.parametrize("said", ["raise SystemExit(3)", "raise ZeroDivisionError(3)"])
def test_so_is_one_that_raises_whatever_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (tmp_path / "far_away.py").write_text(said)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidRequest, match=r"from far_away:spawn: \w+: 3\."):
        loading.launcher(LauncherSpec(name="far", path="far_away:spawn"))
