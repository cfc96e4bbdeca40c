"""Thumbnails of many pictures, against Pillow alone: the same settings, as many processes.

Pillow alone means `benchmarks.pillow`: it decodes, scales and writes, and that is all. We also
sync every file and its folder to disk and record two rows for each picture.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from pydantic import JsonValue

from benchmarks import child
from benchmarks.figure import Figure, ratio
from benchmarks.statistics import summarize
from mysticanvas import logs
from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.store import NewImage, Store

PICTURES = int(os.environ.get("MYSTICANVAS_BENCH_PICTURES", "600"))
RUNS = 5
SIDE_PX = 768
BAR = 0.9


class _Context:
    job_id = ""
    project = ""
    params: Mapping[str, JsonValue] = {}

    def check(self) -> None: ...

    def progress(self, fraction: float, stage: str) -> None: ...


def measure(_model: Path) -> list[Figure]:
    """Pictures a second, ours over Pillow's, run by run in turn."""
    processes = os.cpu_count() or 1
    logs.configure(None, "benchmark", "WARNING")
    with tempfile.TemporaryDirectory(prefix="mysticanvas-bench-") as folder, ExitStack() as ended:
        paths = HomePaths.of(Path(folder) / "home")
        store = ended.enter_context(Store.open(paths))
        pool = Pool(paths.root, paths.logs / "thumbnails.out", processes)
        ended.callback(pool.close)
        bare = [
            ended.enter_context(child.start("benchmarks.pillow", str(paths.root)))
            for _ in range(processes)
        ]
        store.images.add(list(_pictures(paths)))
        thumbnails = Thumbnails(store, paths.root, pool)
        # Both have their processes started and the pictures in the file cache.
        ours, theirs = _ours(store, paths, thumbnails), _theirs(bare, store)
        times = []
        for _ in range(RUNS):
            ours, theirs = _ours(store, paths, thumbnails), _theirs(bare, store)
            times.append(theirs / ours)
    what = f"thumbnails, {processes} processes, of Pillow's rate"
    return [ratio("thumbnails.rate", what, summarize(times), BAR)]


def _ours(store: Store, paths: HomePaths, thumbnails: Thumbnails) -> float:
    shutil.rmtree(paths.thumbs)
    paths.thumbs.mkdir()
    store.files.forget([file.path for file in store.files.walk() if file.kind != "original"])
    began = time.perf_counter()
    result = thumbnails.run(_Context())
    seconds = time.perf_counter() - began
    assert result == {"made": PICTURES, "failed": 0, "unread": 0}, result
    return seconds


def _theirs(bare: list[child.Child], store: Store) -> float:
    sources = [file.path for file in store.files.walk() if file.kind == "original"]
    shares = [sources[k :: len(bare)] for k in range(len(bare))]
    began = time.perf_counter()
    with ThreadPoolExecutor(len(bare)) as threads:
        orders = zip(bare, shares, strict=True)
        list(threads.map(lambda order: order[0].ask(sources=order[1]), orders))
    return time.perf_counter() - began


def _pictures(paths: HomePaths) -> Iterator[NewImage]:
    """Pictures as a model makes them: smooth shapes and some noise, all different."""
    recipe = Recipe(
        preset="bench",
        pipeline="StableDiffusionPipeline",
        params=ResolvedParams(
            prompt="x", width=SIDE_PX, height=SIDE_PX, num_inference_steps=1, guidance_scale=1,
            seed=0, scheduler="DDIMScheduler",
        ),
        model_files={},
    )  # fmt: skip
    for number in range(PICTURES):
        coarse = Image.effect_noise((SIDE_PX // 64,) * 2, 90).resize((SIDE_PX, SIDE_PX))
        fine = Image.effect_noise((SIDE_PX, SIDE_PX), 12)
        bands = (coarse, Image.blend(coarse, fine, 0.3), coarse.rotate(90))
        name = f"images/{number % 256:02x}/{number:064x}.png"
        path = paths.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.merge("RGB", bands).save(path, compress_level=3)
        yield NewImage(
            id=new_id(),
            job_id=new_id(),
            batch_index=0,
            project="bench",
            recipe=recipe,
            mode="RGB",
            pixels_sha256=sha256_of(number),
            file=FileRecord(
                path=name, sha256=sha256_of(number), bytes=path.stat().st_size,
                width=SIDE_PX, height=SIDE_PX,
            ),
            created_at=datetime.now(UTC),
        )  # fmt: skip
