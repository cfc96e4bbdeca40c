from mysticanvas.errors import StoreError
from mysticanvas.orchestrator.periodic import Periodic


class Failing(Periodic):
    """Fails each time, and ends with the third."""

    def __init__(self) -> None:
        super().__init__("failing", every_s=0)
        self.looks = 0

    def look(self) -> None:
        self.looks += 1
        if self.looks == 3:
            self._stopping.set()
        raise StoreError("The disk is full.") if self.looks == 1 else OSError("gone")


def test_a_look_that_fails_does_not_end_it() -> None:
    failing = Failing()
    failing.start()
    failing._thread.join(60)
    assert failing.looks == 3


def test_none_comes_after_the_stop() -> None:
    failing = Failing()
    failing.start()
    failing.stop()
    before = failing.looks
    assert not failing._thread.is_alive()
    assert failing.looks == before


def test_stopping_what_never_began_is_harmless() -> None:
    Failing().stop()
