from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mysticanvas import InvalidRequest, NotFound
from mysticanvas.session import arguments


def ask(prompt: object = "x", **given: Any) -> Any:
    return arguments.request(prompt, given, {}, None).params


def test_none_means_not_given() -> None:
    assert ask(seed=None, width=None, num_images=None) == ask()


def test_a_name_that_does_not_exist_is_refused_even_with_none() -> None:
    with pytest.raises(InvalidRequest, match="num_inference_steps"):
        arguments.request("x", {}, {"steps": None}, None)


def test_a_request_belongs_to_the_project_or_to_the_default_one() -> None:
    assert arguments.request("x", {}, {}, "castle").project == "castle"
    assert arguments.request("x", {}, {}, None).project == arguments.DEFAULT_PROJECT


def test_what_becomes_of_a_job_after_a_crash_is_asked_per_job() -> None:
    assert arguments.request("x", {}, {}, None).after_crash == "requeue"
    assert arguments.request("x", {"after_crash": "cancel"}, {}, None).after_crash == "cancel"
    with pytest.raises(InvalidRequest, match=r"after_crash='retry'.*requeue.*cancel"):
        arguments.request("x", {"after_crash": "retry"}, {}, None)


@pytest.mark.parametrize("written", ["./model", Path("model"), "../here/model"])
def test_a_path_is_made_absolute_for_the_orchestrator(
    written: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sent = Path(ask(preset=written).preset)
    assert sent.is_absolute()
    assert sent.resolve() == tmp_path / "here" / "model"


def test_names_of_loras_stay_and_their_paths_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = ask(loras={"ink": 1, "./a.safetensors": 0.5, Path("b"): np.float32(0.25)}).loras
    assert sent == {"ink": 1.0, f"{tmp_path}/a.safetensors": 0.5, f"{tmp_path}/b": 0.25}


@pytest.mark.parametrize(
    "bad", ["ink", ["ink"], {"ink": 11}, {"ink": "1"}, {"ink": True}, {1: 1.0}, {"": 1.0}, 7,
            {str(n): 1.0 for n in range(33)}, {"ink": float("nan")}],
)  # fmt: skip
def test_loras_that_are_none_are_refused(bad: object) -> None:
    with pytest.raises(InvalidRequest, match="weights from -10 to 10") as refused:
        ask(loras=bad)
    assert refused.value.parameter == "loras"


def test_a_tilde_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ask(preset="~/models/sd").preset == str(tmp_path / "models" / "sd")


def test_a_folder_below_the_working_directory_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "sd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert ask(preset="models/sd").preset == str(tmp_path / "models" / "sd")
    assert ask(preset="someone/model").preset == "someone/model"
    assert ask(preset="models").preset == "models"


@pytest.mark.parametrize("bad", ["", "   ", "x" * 201, 7, b"castle", ["castle"]])
def test_a_bad_project_is_refused(bad: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        arguments.project(bad)
    assert refused.value.parameter == "project"


@pytest.mark.parametrize("good", [None, "castle", "замок", "x" * 200])
def test_a_good_project_stays_as_it_is(good: object) -> None:
    assert arguments.project(good) == good


@pytest.mark.parametrize(
    ("url", "token"),
    [("http://localhost:1", None), (None, "t"), ("localhost:1", "t"), (1, "t"), ("http://x", "")],
)
def test_an_address_needs_its_token(url: object, token: object) -> None:
    with pytest.raises(InvalidRequest, match=r"url|token"):
        arguments.remote(url, token)


def test_an_address_that_was_given_is_always_worth_a_try() -> None:
    endpoint = arguments.remote("http://localhost:1/", "t")
    assert endpoint is not None
    assert endpoint.url == "http://localhost:1"
    assert endpoint.alive()
    assert arguments.remote(None, None) is None


@pytest.mark.parametrize("bad", [0, -1, 1001, True, 2.0, "50", None])
def test_a_bad_page_size_is_refused(bad: object) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1000"):
        arguments.page_size(bad)


def test_an_id_is_text_of_hexadecimal_digits() -> None:
    assert arguments.identifier("image", "1F0A9C2E") == "1f0a9c2e"
    with pytest.raises(InvalidRequest, match="id"):
        arguments.identifier("image", 7)
    for strange in ("../../health", "xyz!", "abc", ""):
        with pytest.raises(NotFound):
            arguments.identifier("image", strange)


def test_a_bad_setting_is_named_as_the_user_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="keep_alive_s=-1"):
        arguments.settings(keep_alive_s=-1)
    with pytest.raises(InvalidRequest, match="home=''"):
        arguments.settings(home="")
    monkeypatch.setenv("MYSTICANVAS_IDLE_TIMEOUT_S", "soon")
    with pytest.raises(InvalidRequest, match="MYSTICANVAS_IDLE_TIMEOUT_S='soon'"):
        arguments.settings(keep_alive_s=None)


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_a_flag_is_true_or_false(bad: object) -> None:
    with pytest.raises(InvalidRequest, match="force"):
        arguments.flag("force", bad)
