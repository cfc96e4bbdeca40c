import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mysticanvas import InvalidRequest, NotFound
from mysticanvas.session import arguments

SECONDS = "a number above 0 and at most 1,000,000,000"


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


@pytest.mark.parametrize("name", ["~", "~ink", "~root"])
def test_a_tilde_begins_a_path_only_where_a_slash_follows(name: str) -> None:
    assert ask(preset=name).preset == name
    assert ask(loras={name: 1}).loras == {name: 1}


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
    [("http://localhost:1", None), (None, "t"), ("localhost:1", "t"), (1, "t"), ("http://x", ""),
     ("http://x", "ключ"), ("http://x", "a\nb"), ("http://127.0.0.1:99999", "t"),
     ("http://[::1", "t"), ("http://", "t"), ("http://x:0", "t"), ("http://x:one", "t"),
     ("http://ключ", "t"), ("http://x\n", "t"), ("http+unix://", "t"),
     ("http+unix://%2Fa%00", "t")],
)  # fmt: skip
def test_an_address_needs_its_token(url: object, token: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        arguments.remote(url, token)
    assert refused.value.parameter in ("url", "token")
    assert refused.value.parameter in str(refused.value)


@pytest.mark.parametrize("good", ["http://[::1]:8000", "https://example.org/mine", "http://a:80"])
def test_every_usual_address_is_one(good: str) -> None:
    endpoint = arguments.remote(good, "t")
    assert endpoint is not None
    assert endpoint.url == good


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
    with pytest.raises(InvalidRequest, match="the id of an image,"):
        arguments.identifier("image", 7)
    with pytest.raises(InvalidRequest, match="the id of a job,"):
        arguments.identifier("job", 7)
    for strange in ("../../health", "xyz!", "abc", ""):
        with pytest.raises(NotFound):
            arguments.identifier("image", strange)


@pytest.mark.parametrize(
    ("name", "bad", "allowed"),
    [
        ("memory_budget_mib", True, "a whole number from 1"),
        ("memory_budget_mib", "512", "a whole number from 1"),
        ("memory_budget_mib", 512.0, "a whole number from 1"),
        ("keep_alive_s", True, SECONDS),
        ("keep_alive_s", "900", SECONDS),
        ("idle_timeout_s", float("nan"), SECONDS),
        ("keep_alive_s", float("inf"), SECONDS),
        ("ipc", "carrier", "'tcp', 'unix' or 'pipe'"),
        ("home", 5, "the path of a folder"),
        ("home", "a\0b", "the path of a folder"),
        ("home", "~nobody-of-that-name/x", "the path of a folder"),
    ],
)
def test_an_argument_is_what_it_says_and_no_text_for_it(
    name: str, bad: object, allowed: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        arguments.settings(**{name: bad})
    assert (refused.value.parameter, refused.value.value) == (name, repr(bad))
    assert refused.value.allowed == allowed


def test_numbers_of_numpy_and_text_of_variables_are_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MYSTICANVAS_KEEP_ALIVE_S", "7.5")
    settings = arguments.settings(home=str(tmp_path), memory_budget_mib=np.int64(512))
    assert (settings.home, settings.memory_budget_mib) == (tmp_path, 512)
    assert settings.keep_alive_s == 7.5


@pytest.mark.parametrize("bad", ["a", True, float("nan"), [1]])
def test_a_time_to_wait_is_a_number(bad: object) -> None:
    with pytest.raises(InvalidRequest, match="a number of seconds, or None") as refused:
        arguments.seconds("timeout", bad)
    assert refused.value.parameter == "timeout"


def test_more_time_than_there_is_waits_for_as_long_as_it_takes() -> None:
    assert arguments.seconds("timeout", None) is None
    assert arguments.seconds("timeout", np.float32(0.5)) == 0.5
    for endless in (float("inf"), 10**400):
        assert arguments.seconds("timeout", endless) == threading.TIMEOUT_MAX


@pytest.mark.parametrize("bad", [5, None, b"x", "a\0b", "~nobody-of-that-name/x", Path("a\0b")])
def test_a_path_that_is_none_is_refused(bad: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        arguments.path("path", bad, "a folder")
    assert (refused.value.parameter, refused.value.allowed) == ("path", "a folder")


@pytest.mark.parametrize("bad", ["~nobody-of-that-name/x", Path("~nobody-of-that-name/x")])
def test_a_model_in_the_home_of_nobody_is_refused(bad: str | Path) -> None:
    for given in ({"preset": bad}, {"loras": {bad: 1.0}}):
        with pytest.raises(InvalidRequest, match="~nobody-of-that-name is not known") as refused:
            ask(**given)
        assert refused.value.parameter in given


def test_a_bad_setting_is_named_as_the_user_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="keep_alive_s=-1"):
        arguments.settings(keep_alive_s=-1)
    with pytest.raises(InvalidRequest, match="home=''"):
        arguments.settings(home="")
    monkeypatch.setenv("MYSTICANVAS_IDLE_TIMEOUT_S", "soon")
    with pytest.raises(InvalidRequest, match="MYSTICANVAS_IDLE_TIMEOUT_S='soon'.*above 0"):
        arguments.settings(keep_alive_s=None)


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_a_flag_is_true_or_false(bad: object) -> None:
    with pytest.raises(InvalidRequest, match="force"):
        arguments.flag("force", bad)
