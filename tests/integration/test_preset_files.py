"""Presets move between homes as TOML, and a file with one that cannot be used saves none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mysticanvas import Canvas, ImagePreset, errors


def test_presets_move_as_toml(canvas: Canvas, folder: Path, tmp_path: Path) -> None:
    preset = ImagePreset(
        name=f"{folder.name}-ü",
        model=str(folder),
        dtype="float32",
        default_params={"scheduler": "euler_a", "guidance_scale": 3.5},
    )
    canvas.presets.image.save(preset)
    file = canvas.presets.image.export(tmp_path / "presets.toml", preset.name)
    with pytest.raises(errors.InvalidRequest, match=r"presets\.toml"):
        canvas.presets.image.export(file)
    canvas.presets.image.delete(preset.name)
    [loaded] = canvas.presets.image.load(file)
    assert loaded.replace() == preset
    (tmp_path / "near.toml").write_text(
        f'[[image]]\nname = "{folder.name}-near"\nmodel = "./{folder.name}"\n'
    )
    [near] = canvas.presets.image.load(tmp_path / "near.toml")
    assert near.model == str(folder)
    (tmp_path / "bad.toml").write_text('[[image]]\nname = "x"\nmodel = "/x"\nsteps = 3\n')
    with pytest.raises(errors.InvalidRequest, match=r"bad\.toml, \[\[image\]\] 1 \('x'\): steps=3"):
        canvas.presets.image.load(tmp_path / "bad.toml")
    with pytest.raises(errors.InvalidRequest, match=r"none\.toml holds no presets.*No such file"):
        canvas.presets.image.load(tmp_path / "none.toml")


def test_all_that_was_exported_is_loaded_here_and_in_another_home(
    make_home: Callable[[], Path], folder: Path, tmp_path: Path
) -> None:
    with Canvas(home=make_home()) as canvas, Canvas(home=make_home()) as other:
        _exported_and_loaded(canvas, other, folder, tmp_path)
        for each in (canvas, other):
            each.shutdown(force=True)


def _exported_and_loaded(canvas: Canvas, other: Canvas, folder: Path, tmp_path: Path) -> None:
    presets = canvas.presets.image
    own = ImagePreset(name=folder.name, model=str(folder), default_params={"width": 32})
    revision = presets.save(own).revision
    file = presets.export(tmp_path / "all.toml")
    text = file.read_text()
    assert "starter" not in text
    [again] = [each for each in presets.load(file) if each.name == own.name]
    assert (again.replace(), again.revision) == (own, revision)
    loaded = {each.name: each.replace() for each in other.presets.image.load(file)}
    assert loaded == {own.name: own}
    assert {each.name for each in other.presets.image} == {own.name, "starter"}
    everything = other.presets.image.export(tmp_path / "more.toml", "starter", own.name)
    assert [each.name for each in presets.load(everything)] == ["starter", own.name]


def test_a_file_of_which_one_preset_cannot_be_used_saves_nothing(
    canvas: Canvas, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "two.toml"
    for second, error, words in (
        ('model = "./none"', errors.PresetError, "model: there is nothing at"),
        (f'model = "./{folder.name}"\nsteps = 3', errors.InvalidRequest, "steps=3"),
        (f'model = "./{folder.name}"\nloras = {{x = 1}}', errors.InvalidRequest, "no LoRA 'x'"),
    ):
        file.write_text(
            f'[[image]]\nname = "{folder.name}-1"\nmodel = "./{folder.name}"\n'
            f'[[image]]\nname = "{folder.name}-2"\n{second}\n'
        )
        with pytest.raises(error, match=rf"two\.toml.*'{folder.name}-2'.*{words}"):
            canvas.presets.image.load(file)
        assert f"{folder.name}-1" not in canvas.presets.image
