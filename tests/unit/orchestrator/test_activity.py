import threading

from mysticanvas.orchestrator.activity import Activity


def test_idle_is_reported_after_the_timeout() -> None:
    idle = threading.Event()

    def on_idle() -> bool:
        idle.set()
        return True

    Activity(0.1, in_use=lambda: False, on_idle=on_idle).start()
    assert idle.wait(10)


def test_use_keeps_it_from_being_idle() -> None:
    activity = Activity(0.0, in_use=lambda: False, on_idle=lambda: True)
    assert activity.idle
    used = Activity(1000.0, in_use=lambda: True, on_idle=lambda: True)
    assert not used.idle
