"""Records and files as the orchestrator would answer them, without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import PIL.Image
import PIL.PngImagePlugin
import pytest
from mysticanvas_echo import make_model
from routes import TOKEN, Routes

from mysticanvas import Canvas
from mysticanvas.contracts import picture
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.images import FileRecord, ImageRecord
from mysticanvas.contracts.jobs import JobRecord
from mysticanvas.contracts.recipe import Environment, Recipe, ResolvedParams
from mysticanvas.home import HomePaths
from mysticanvas.session.connection import Connection
from mysticanvas.session.image import Image
from mysticanvas.settings import Settings
from mysticanvas.store import Store

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    """A connection that nothing has attached yet."""
    return Connection(Settings.load({}, home=tmp_path / "home"))


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        preset="starter",
        pipeline="StableDiffusionPipeline",
        params=ResolvedParams(
            prompt="a red circle",
            width=16,
            height=8,
            num_inference_steps=20,
            guidance_scale=3.0,
            seed=7,
            num_images=9,
            scheduler="DDIMScheduler",
        ),
        model_files={"unet/weights.safetensors": "a" * 64, "vae/weights.safetensors": "b" * 64},
        environment=Environment(
            device="cpu", dtype="float32", threads=2, versions={"torch": "2.13.0"}
        ),
    )


MakeImage = Callable[..., Image]


@pytest.fixture
def make_image(connection: Connection, recipe: Recipe) -> MakeImage:
    """Makes picture `k` of one batch, with a real file that says everything about itself."""

    def make(k: int = 0, colour: tuple[int, int, int] = (255, 0, 0)) -> Image:
        mine = recipe.model_copy(update={"batch_index": k})
        pixels = PIL.Image.new("RGB", (16, 8), colour)
        digest = picture.pixels_sha256(pixels.mode, *pixels.size, pixels.tobytes())
        text = picture.PictureText(
            image_id=new_id(),
            job_id=new_id(),
            project="default",
            created_at=NOON,
            pixels_sha256=digest,
            recipe=mine,
        )
        chunks = PIL.PngImagePlugin.PngInfo()
        for keyword, value in picture.chunks(text).items():
            chunks.add_text(keyword, value)
        path = connection.paths.images / f"{text.image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels.save(path, pnginfo=chunks)
        file = FileRecord(
            path=f"images/{path.name}", sha256="", bytes=path.stat().st_size, width=16, height=8
        )
        record = ImageRecord(
            id=text.image_id,
            seq=k,
            job_id=text.job_id,
            batch_index=k,
            project="default",
            prompt=mine.params.prompt,
            width=16,
            height=8,
            seed=mine.seed,
            preset=mine.preset,
            request_hash=mine.request_hash,
            recipe_hash=mine.hash,
            pixels_sha256=digest,
            recipe=mine,
            file=file,
            created_at=NOON,
        )
        return Image(record, connection)

    return make


MakeJob = Callable[..., JobRecord]


@pytest.fixture
def make_job() -> MakeJob:
    """Makes a job's record; the same id unless another is given."""
    job_id = new_id()

    def make(status: str = "queued", **members: object) -> JobRecord:
        return JobRecord.model_validate(
            {
                "id": job_id,
                "kind": "generate",
                "status": status,
                "project": "default",
                "priority": "interactive",
                "request_hash": "c" * 64,
                "created_at": NOON,
                "attempts": 0 if status == "queued" else 1,
                **members,
            }
        )

    return make


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(HomePaths.of(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def routes(tmp_path: Path, store: Store) -> Iterator[Routes]:
    """What an orchestrator answers; it takes in jobs for `model`, and runs none."""
    with Routes(store, HomePaths.of(tmp_path / "home"), engine="echo").served() as served:
        yield served


@pytest.fixture
def canvas(tmp_path: Path, routes: Routes) -> Iterator[Canvas]:
    """A canvas on the routes."""
    with Canvas(home=tmp_path / "kernel", url=routes.url, token=TOKEN) as opened:
        yield opened


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A preset that jobs may ask for."""
    return make_model(tmp_path / "m")
