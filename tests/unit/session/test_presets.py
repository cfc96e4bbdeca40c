"""What a kernel makes of a preset before it is sent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mysticanvas import ImagePreset, InvalidRequest, LLMPreset
from mysticanvas.session.collections import presets
from mysticanvas.session.connection import Connection


def test_paths_mean_the_same_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    given = ImagePreset(name="a", model="~/model", vae="vae.safetensors", clip=("~/clip", "/abs"))
    sent = presets.absolute(given)
    assert sent.model == "/home/me/model"
    assert sent.vae == str(tmp_path / "vae.safetensors")
    assert sent.clip == ("/home/me/clip", "/abs")


def test_a_hub_id_stays_one_unless_it_is_a_folder_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for model in ("owner/name@v1.0", "owner/base-1.0"):
        given = ImagePreset(name="a", model=model)
        assert presets.absolute(given).model == model
        (tmp_path / model).mkdir(parents=True)
        assert presets.absolute(given).model == str(tmp_path / model)


def test_a_lora_whose_name_begins_with_a_tilde_stays_one() -> None:
    given = ImagePreset(name="a", model="/m", loras={"~ink": 1, "~": 1})
    assert presets.absolute(given).loras == given.loras


def test_a_path_in_the_home_of_nobody_is_refused() -> None:
    for members in ({"model": "~nobody-of-that-name/m"}, {"model": "/m", "vae": "~nobody-else/v"}):
        with pytest.raises(InvalidRequest, match="~nobody-.* is not known") as refused:
            presets.absolute(ImagePreset(name="a", **members))
        assert refused.value.parameter == "preset"


def test_relative_path_objects_are_taken_from_where_the_kernel_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ImagePreset(name="a", model=Path("owner/name"), loras={Path("ink"): 1})
    sent = presets.absolute(given)
    assert sent.model == str(tmp_path / "owner/name")
    assert sent.loras == {str(tmp_path / "ink"): 1}


def test_what_can_be_no_name_is_refused_and_in_no_collection(connection: Connection) -> None:
    connection.close()  # so that whatever is sent after all starts nothing
    image = presets.Presets(connection).image
    bad: Any
    for bad in ("", "  ", "owner/name", "a\x00", "x" * 201, None, 7, Path("/m")):
        for ask in (image.__getitem__, image.delete, image.revisions):
            with pytest.raises(
                InvalidRequest, match="the name of one: text of 1 to 200"
            ) as refused:
                ask(bad)
            assert refused.value.parameter == "name"
        assert bad not in image


def test_tables_say_which_models_they_are_of_and_how_to_have_some() -> None:
    model = ImagePreset(name="a", model="/m")
    connection = SimpleNamespace(call=lambda _: [model])
    images = presets.ImagePresets(connection, ImagePreset)  # type: ignore[arg-type]
    assert ">image models</caption>" in images._repr_html_()
    nothing = SimpleNamespace(call=lambda _: [])
    words = presets.LLMPresets(nothing, LLMPreset)  # type: ignore[arg-type]
    assert words._repr_html_() == (
        "<p>language models: none yet, canvas.presets.llm.save(LLMPreset(…)) keeps one</p>"
    )
