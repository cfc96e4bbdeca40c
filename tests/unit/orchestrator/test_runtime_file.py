from pathlib import Path

import pytest

from mysticanvas.contracts.runtime import Runtime
from mysticanvas.orchestrator.runtime_file import RuntimeFile


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(
        url="http://127.0.0.1:1",
        token="t",
        pid=1,
        started_at=0,
        boot_id="b",
        host="h",
        version="1",
        protocol=1,
        prefix="/",
    )


def keeper(path: Path) -> RuntimeFile:
    def displaced() -> None:
        raise AssertionError("it is in place")

    return RuntimeFile(path, lambda: True, displaced)


@pytest.mark.parametrize("damage", [None, b"", b'{"url": "x"', b"\0" * 900])
def test_a_file_that_is_gone_or_damaged_is_put_back(
    tmp_path: Path, runtime: Runtime, damage: bytes | None
) -> None:
    path = tmp_path / "orchestrator.json"
    file = keeper(path)
    file.write(runtime)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    file.look()
    assert Runtime.model_validate_json(path.read_bytes()) == runtime
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    file.remove()
    assert not path.exists()


def test_one_that_is_as_it_was_is_left_alone(tmp_path: Path, runtime: Runtime) -> None:
    path = tmp_path / "orchestrator.json"
    file = keeper(path)
    file.write(runtime)
    before = path.stat().st_ino
    file.look()
    assert path.stat().st_ino == before


def test_in_a_folder_that_was_deleted_and_made_again_it_is_anothers(
    tmp_path: Path, runtime: Runtime
) -> None:
    path = tmp_path / "orchestrator.json"
    told = []
    file = RuntimeFile(path, lambda: False, lambda: told.append(True))
    file.write(runtime)
    path.write_text("of another")
    file.look()
    assert told
    assert path.read_text() == "of another"
    path.unlink()
    file.look()
    assert not path.exists()
