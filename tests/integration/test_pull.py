"""A model is fetched from a hub, whoever is killed meanwhile, and drawn with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import hub as hubs
import psutil
import pytest
from ggufs import make_projector
from hub import COMMIT, Hub
from models import make_sd
from support import kill

from mysticanvas import Canvas, LLMPreset, errors


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """One with a model, which stops in the middle of its largest file."""
    folder = make_sd(tmp_path / "model", width=96)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    with hubs.serving(files) as hub:
        hub.stalls_after = 3 << 20
        use(hub, tmp_path / "hf", monkeypatch)
        yield hub


def use(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process and those that it starts fetch from a hub, into a cache of their own."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(home))
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.fault(
    "SIGKILL of the orchestrator while a model is fetched", "it goes on where it was"
)
def test_a_model_is_pulled_over_a_crash_and_drawn_with(
    home: Path, tmp_path: Path, hub: Hub
) -> None:
    [large] = [name for name, content in hub.files.items() if len(content) > 4 << 20]
    with Canvas(home=home) as canvas:
        with pytest.raises(errors.PresetError, match=r"canvas\.models\.pull\('owner/name'\)"):
            canvas.generate("a", preset="owner/name")
        with pytest.raises(errors.InvalidRequest, match="repo_id"):
            canvas.models.pull("name")
        job = canvas.models.pull("owner/name")
        assert hub.stalled.wait(60)
        # While it goes on, others of the process's own jobs are not kept waiting, nor pictures.
        assert canvas.generate("a red circle", num_inference_steps=1).width
        canvas.export(tmp_path / "export")
        assert job.status == "running"
        orchestrator = canvas._connection.find()
        assert orchestrator is not None
        assert orchestrator.identity is not None
        fetching = [
            child
            for child in psutil.Process(orchestrator.identity.pid).children()
            if "mysticanvas.workers.hub" in child.cmdline()
        ]
        assert fetching
        kill(orchestrator.identity.pid)
        # Until it is gone, the server would go on sending to it.
        assert not psutil.wait_procs(fetching, 30)[1]
        hub.go_on.set()
        report = job.result(60)
        assert (report.commit, report.bytes) == (COMMIT, sum(map(len, hub.files.values())))
        # What the system had taken in for the one that was killed is sent again.
        assert hub.sent[large] < 2 * len(hub.files[large])
        assert job.attempts == 2
        [model] = [each for each in canvas.models if each.source == "hub"]
        assert (model.name, model.path) == ("owner/name", report.path)
        image = canvas.generate("a", preset="owner/name", num_inference_steps=1)
        preset = canvas.presets.image[image.recipe.preset]
        assert preset.model == f"owner/name@{COMMIT}"
        hub.go_on.clear()
        again = canvas.models.pull("owner/name")
        assert again.result(60).fetched_bytes == 0
        canvas.shutdown()


def test_what_is_fetched_can_be_cancelled(home: Path, hub: Hub) -> None:
    with Canvas(home=home) as canvas:
        cancelled = canvas.models.pull("owner/name")
        assert hub.stalled.wait(60)
        asked = time.monotonic()
        assert cancelled.cancel()
        with pytest.raises(errors.JobCancelled):
            cancelled.result(60)
        # While the hub sends nothing, and would not for ten seconds.
        assert time.monotonic() - asked < 5.0
        canvas.shutdown()


def test_a_language_model_of_the_hub_is_loaded_from_the_cache(
    home: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sight = make_projector(tmp_path / "mmproj.gguf")
    files = {"tiny.gguf": tiny_llm.read_bytes(), "mmproj.gguf": sight.read_bytes()}
    with hubs.serving(files) as hub:
        use(hub, tmp_path / "hf", monkeypatch)
        with Canvas(home=home) as canvas:
            preset = LLMPreset(name="words", model="owner/name", n_ctx=256)
            with pytest.raises(errors.PresetError, match=r"models\.pull\('owner/name'\)"):
                canvas.presets.llm.save(preset)
            folder = Path(canvas.models.pull("owner/name").result(60).path)
            seeing = preset.replace(mmproj=str(folder / "mmproj.gguf"))
            saved = canvas.presets.llm.save(seeing)
            assert saved.model == f"owner/name@{COMMIT}:tiny.gguf"
            canvas.workers.start("llm", "words")
            assert canvas.workers["llm"].preset == "words"
            canvas.shutdown(force=True)
