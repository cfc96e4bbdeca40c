"""Measure the starter model on combinations it was never trained on: `python evaluate.py`.

Three figures, each over at least 300 pictures with fixed seeds:

* one thing: its shape, its colour and the background are all right;
* two things: both shapes, both colours, the background and the relation are all right;
* style: the statistics of `styles`, with thresholds from drawn pictures, name the style asked for.

`judge` reads the first two, on the styles that keep colours; noir, which is grey, is read for its
shape alone and given apart. The judge's own accuracy on drawn pictures stands beside the figures:
it is about the most that a perfect model could reach.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import diffusers
import judge as judging
import numpy as np
import styles
import torch
from common import HERE, MODEL
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from phrases import describe_fully
from world import COLOURED_STYLES, STYLES, Scene, pair_key, sample, thing_key

BARS = {"one": 0.9, "two": 0.7, "style": 0.9}
BATCH = 20


def load(folder: Path = MODEL) -> StableDiffusionPipeline:
    pipeline: StableDiffusionPipeline = StableDiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def defaults(folder: Path = MODEL) -> dict[str, Any]:
    params: dict[str, Any] = json.loads((folder / "world.json").read_text())["default_params"]
    return params


def paint(
    pipeline: StableDiffusionPipeline, prompts: list[str], seed: int, **params: Any
) -> NDArray[np.uint8]:
    """A picture for each prompt, each with a seed of its own."""
    pictures = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(batch))]
        pictures.append(pipeline(batch, generator=generators, output_type="np", **params).images)
    return (np.concatenate(pictures) * 255 + 0.5).astype(np.uint8)


def _kept_back(rng: Random, count: int, pairs: float, among: tuple[str, ...]) -> list[Scene]:
    """Scenes of kept-back combinations, the styles in turn, no scene twice."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample(rng, pairs, kept_back=True)
        if scene.style == among[len(scenes) % len(among)] and scene not in scenes:
            scenes.append(scene)
    return scenes


def _share(hits: list[bool]) -> float:
    return round(float(np.mean(hits)), 4)


def _readings(pictures: NDArray[np.uint8], scenes: list[Scene]) -> list[judging.Reading]:
    """Each picture read as one of the style that was asked for."""
    return [judging.judge(p, scene.style) for p, scene in zip(pictures, scenes, strict=True)]


def _figure(readings: list[judging.Reading], scenes: list[Scene]) -> dict[str, Any]:
    truths = [judging.read_scene(scene) for scene in scenes]
    parts = {
        name: _share([r[name] == t[name] for r, t in zip(readings, truths, strict=True)])
        for name in judging.PARTS
    }
    everything = [r == t for r, t in zip(readings, truths, strict=True)]
    by_style = {
        style: _share(
            [hit for hit, scene in zip(everything, scenes, strict=True) if scene.style == style]
        )
        for style in COLOURED_STYLES
    }
    return {"right": _share(everything), "n": len(scenes), "parts": parts, "by_style": by_style}


def evaluate(count: int, folder: Path = MODEL) -> dict[str, Any]:
    pipeline, params, rng = load(folder), defaults(folder), Random(31)
    threshold = styles.fit()
    one = _kept_back(rng, count, 0.0, COLOURED_STYLES)
    two = _kept_back(rng, count, 1.0, COLOURED_STYLES)
    grey = _kept_back(rng, count // 5, 0.0, ("noir",))
    drawn = {
        name: paint(pipeline, [describe_fully(s, rng) for s in scenes], seed, **params)
        for name, scenes, seed in (
            ("one", one, 10_000),
            ("two", two, 20_000),
            ("grey", grey, 30_000),
        )
    }
    asked = [scene.style for scene in (*one, *grey, *two)]
    pictures = [picture for name in ("one", "grey", "two") for picture in drawn[name]]
    told = list(zip(asked, styles.tell_all(pictures, threshold), strict=True))
    greys = _readings(drawn["grey"], grey)
    return {
        "one": _figure(_readings(drawn["one"], one), one),
        "two": _figure(_readings(drawn["two"], two), two),
        "noir_shape": _share(
            [r["shape1"] == s.first.shape for r, s in zip(greys, grey, strict=True)]
        ),
        "style": {
            "right": _share([asked == seen for asked, seen in told]),
            "n": len(told),
            "by_style": {
                style: _share([asked == seen for asked, seen in told if asked == style])
                for style in STYLES
            },
        },
        "judge_on_drawn": judging.accuracy(),
        "styles_on_drawn": styles.accuracy(threshold),
        "filled_threshold": round(threshold, 4),
        "combinations": {
            "one": len({thing_key(s.first, s.background) for s in one}),
            "two": len({pair_key(s) for s in two}),
        },
        "default_params": params,
    }


def checksums(folder: Path = MODEL) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="pictures for each figure")
    given = parser.parse_args()
    torch.set_num_threads(2)
    figures = evaluate(given.count)
    figures["bars"] = BARS
    figures["versions"] = {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": version("transformers"),
    }
    figures["files"] = checksums()
    (HERE / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n")
    for name, bar in BARS.items():
        figure = figures[name]
        print(f"{name:6} {figure['right']:.3f} of {figure['n']}, bar {bar}, {figure['by_style']}")
    print("parts of two:", figures["two"]["parts"])
    print(
        "judge on drawn pictures:", figures["judge_on_drawn"], "styles:", figures["styles_on_drawn"]
    )


if __name__ == "__main__":
    main()
