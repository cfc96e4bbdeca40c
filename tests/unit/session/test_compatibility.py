import pytest

from mysticanvas.contracts.runtime import Runtime
from mysticanvas.session import compatibility
from mysticanvas.settings import Settings

PROTOCOL = 7


def runtime(version: str = "1.2.0", protocol: int = PROTOCOL, prefix: str = "/here") -> Runtime:
    return Runtime(
        url="http://127.0.0.1:1",
        token="t",
        pid=1,
        started_at=0,
        boot_id="b",
        host="h",
        version=version,
        protocol=protocol,
        prefix=prefix,
    )


@pytest.mark.parametrize(
    ("running", "mine", "older"),
    [
        (("1.2.0", 7), ("1.2.0", 7), False),
        (("1.9.0", 7), ("1.10.0", 7), True),
        (("1.10.0", 7), ("1.9.0", 7), False),
        (("1.2.0", 6), ("1.2.0", 7), True),
        (("1.2.0", 8), ("1.3.0", 7), False),
        (("1.2.0.dev4", 7), ("1.2.1rc1", 7), True),
        (("1.2.0rc1", 7), ("1.2.0", 7), True),
        (("1.2.0", 7), ("1.2.0rc1", 7), False),
        (("1.2.0", 7), ("1.2.0.post1", 7), True),
        (("1.2", 7), ("1.2.0", 7), False),
        (("no version", 7), ("1.2.0", 7), True),
    ],
)
def test_only_a_newer_client_replaces(
    running: tuple[str, int], mine: tuple[str, int], older: bool
) -> None:
    assert compatibility.outdated(runtime(*running), *mine) == older


def test_what_we_can_talk_to_meets_no_objection() -> None:
    for protocol in (PROTOCOL - 1, PROTOCOL):
        assert compatibility.objection(runtime("9.9", protocol), True, PROTOCOL) is None


def test_an_older_client_is_told_to_restart_and_another_environment_where_to_go() -> None:
    newer = compatibility.objection(runtime("9.9", PROTOCOL + 1), True, PROTOCOL)
    assert newer is not None
    assert "9.9" in newer[0]
    assert "Restart this kernel" in newer[1]
    elsewhere = compatibility.objection(runtime(prefix="/there"), False, PROTOCOL)
    assert elsewhere is not None
    assert "/there" in elsewhere[0]


def test_only_what_was_asked_for_conflicts() -> None:
    running = Settings.load({}, home="/a", keep_alive_s=900, device="cpu").model_dump(mode="json")
    environ = {"MYSTICANVAS_DEVICE": "cuda", "MYSTICANVAS_PROGRESS": "off"}
    asked = Settings.load(environ, home="/b", keep_alive_s=60)
    assert compatibility.conflicts(asked, running) == [
        "device=cpu and not device=cuda",
        "keep_alive_s=900.0 and not keep_alive_s=60.0",
    ]
    assert compatibility.conflicts(Settings.load({}, home="/b", keep_alive_s=900), running) == []
    assert compatibility.conflicts(asked, {}) == []
