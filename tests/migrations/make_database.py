"""Make the stored database of a schema version, for the tests of upgrades from it.

Run it with the code of the commit that has that schema on main:

    git worktree add /tmp/released COMMIT
    PYTHONPATH=/tmp/released .venv/bin/python tests/migrations/make_database.py

It writes `databases/v<N>.duckdb.xz`. What is in it: jobs of every status, pictures, some of them
deleted, their files, tags, the index of their words, presets, digests of model files, and what is
known of memory. When a schema gets new tables, rows for them are added here before the database of
that version is stored; a stored one is never made again.
"""

import lzma
import sys
import tempfile
from pathlib import Path

import mysticanvas
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import WorkerCrashed
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.search import maintenance

# The makers of rows belong to the same commit as the store that they fill.
sys.path.insert(0, str(Path(mysticanvas.__file__).parents[1] / "tests"))
from makers import Maker
from measurements import measurement

DATABASES = Path(__file__).with_name("databases")


def fill(store: Store, folder: Path) -> None:
    """Record something of everything."""
    maker = Maker()
    for size in (3, 1, 2):
        maker.recorded(store, size=size)
    maker.recorded(store, project="castle")
    for status, error in (
        (JobStatus.FAILED, Problem.of(WorkerCrashed("The worker died.", hint="Try again."))),
        (JobStatus.CANCELLED, None),
    ):
        job = maker.added(store).record.id
        claimed = store.jobs.claim()
        assert claimed is not None
        store.jobs.finish(job, claimed.record.attempts, status, error)
    _keep_house(maker, store)
    maker.added(store)
    running = store.jobs.claim()
    assert running is not None
    record = maker.job(priority="background")
    store.jobs.add(record, '{"prompt": "waits"}', maker.task(record), "a key")
    for name in ("tiny", "тест"):
        store.presets.save(ImagePreset(name=name, model=f"/models/{name}"))
    for number in range(3):
        file = folder / f"{number}.safetensors"
        file.write_bytes(bytes([number]) * 100)
        store.model_files.sha256(file)
    store.profiles.save("key", "model", "{}")
    store.measurements.add([measurement(), measurement(phase="vae_decode", corrected=None)])


def _keep_house(maker: Maker, store: Store) -> None:
    """What comes after pictures: tags, the index, thumbnails, deleting and its sweep."""
    for _ in range(2):
        maker.recorded(store)
    seqs = {card.id: card.seq for card in store.images.page(1000).items}
    store.tags.add([*seqs.values()][:3], ["castle", "noir"], "user")
    store.tags.add([*seqs.values()][2:4], ["fog"], "vision", confidence=0.5)
    store.tags.alias("burg", "castle")
    maintenance.MIN_BATCH = 1
    while store.search.maintain():
        pass
    store.tags.add([*seqs.values()][4:5], ["later"], "user")
    hidden, gone, bare, small = list(seqs)[:4]
    thumbnail = FileRecord(
        kind="thumbnail_256",
        path="thumbs/256/a.webp",
        sha256="0" * 64,
        bytes=9,
        width=256,
        height=256,
    )
    store.files.add([(store.files.original(small), [thumbnail])])
    store.files.add_failures([(store.files.original(bare), "It is damaged.")])
    store.images.delete([hidden, gone])
    store.files.doom([seqs[gone]])
    store.facts.set("queue.paused", False)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = HomePaths.of(Path(folder) / "home")
        with Store.open(paths) as store:
            fill(store, Path(folder))
            [row] = store.database.read("SELECT max(version) AS version FROM schema_version")
        packed = lzma.compress(paths.database.read_bytes(), preset=9)
    target = DATABASES / f"v{row['version']}.duckdb.xz"
    with target.open("xb") as file:
        file.write(packed)
    sys.stdout.write(f"{target}: {len(packed):,} bytes\n")


if __name__ == "__main__":
    main()
