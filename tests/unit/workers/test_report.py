import pytest

from mysticanvas.contracts.jobs import Progress
from mysticanvas.contracts.worker import Made, Previewed, Progressed
from mysticanvas.errors import JobCancelled
from mysticanvas.workers.engine import Control
from mysticanvas.workers.report import Report, fraction


def test_fractions_rise_from_nothing_to_nearly_all() -> None:
    stages = ["load", "encode", "denoise", "decode", "save"]
    walk = [fraction(stage, step, 4) for stage in stages for step in range(5)]
    assert walk == sorted(walk)
    assert (walk[0], walk[-1]) == (0.0, 1.0)


def test_a_stage_is_announced_and_measured() -> None:
    sent: list[Progressed | Previewed | Made] = []
    synchronized: list[str] = []
    report = Report(sent.append, Control(), lambda: synchronized.append("now"))
    with report.stage("encode"):
        pass
    assert sent == [Progressed(progress=Progress(stage="encode", fraction=fraction("encode")))]
    with report.stage("denoise", 12):
        pass
    begun = Progress(stage="denoise", steps=12, fraction=fraction("denoise"))
    assert sent[1:] == [Progressed(progress=begun)]
    assert report.seconds["encode"] > 0
    assert report.seconds["decode"] == 0
    assert synchronized == ["now", "now"]


def test_quick_steps_are_told_four_times_a_second() -> None:
    sent: list[Progressed | Previewed | Made] = []
    now = 0.0
    report = Report(sent.append, Control(), lambda: None, lambda: now)
    for step in range(9):
        report.step("denoise", step, 9)
        now += 0.1
    report.step("decode")
    told = [(each.progress.stage, each.progress.step) for each in sent if each.type == "progress"]
    assert told == [("denoise", 0), ("denoise", 3), ("denoise", 6), ("decode", 0)]


def test_a_cancelled_job_ends_at_its_next_step() -> None:
    control = Control()
    report = Report(lambda _: None, control, lambda: None)
    report.step("denoise", 1, 4)
    control.cancelled = True
    with pytest.raises(JobCancelled):
        report.step("denoise", 2, 4)
    with pytest.raises(JobCancelled), report.stage("decode"):
        pytest.fail("the stage must not begin")


def test_the_listener_is_asked_every_time() -> None:
    control = Control()
    report = Report(lambda _: None, control, lambda: None)
    assert not report.wants_previews
    control.previews = True
    assert report.wants_previews
