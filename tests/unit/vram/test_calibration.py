from mysticanvas.vram.calibration import Calibration, Measured, calibrate


def measured(*actual: int) -> list[Measured]:
    return [Measured(100, each) for each in actual]


def test_nothing_measured_corrects_nothing() -> None:
    assert calibrate([]) == Calibration(1.0, ())


def test_a_small_deviation_that_repeats_is_made_up_for() -> None:
    assert calibrate(measured(104, 104, 105)) == Calibration(1.04, ())
    assert calibrate(measured(91, 90)) == Calibration(0.91, ())


def test_a_large_one_is_shown_and_not_fitted() -> None:
    found = calibrate(measured(104, 104, 150))
    assert found == Calibration(1.04, (Measured(100, 150),))
    assert calibrate(measured(104, 150, 160)).factor == 1.0


def test_only_the_newest_count() -> None:
    assert calibrate(measured(*[150] * 30, *[101] * 20)) == Calibration(1.01, ())
