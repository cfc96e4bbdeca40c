from benchmarks.gpu import reserve
from benchmarks.gpu.points import Point
from benchmarks.gpu.reserve import Trace
from mysticanvas.vram.allocator import Event, simulate

MIB = 1 << 20


def test_a_trace_gives_back_what_it_leaves_so_that_it_can_be_played_twice() -> None:
    trace = Trace.of([Event(1, 4 * MIB), Event(2, 8 * MIB), Event(1, -4 * MIB)])
    tape = reserve.Tape()
    tape.play(trace)
    tape.play(trace)
    assert simulate(tape.events).allocated == 12 * MIB


def test_a_job_reserves_at_least_what_is_given_out_and_less_of_both_in_slices() -> None:
    whole = reserve.usage(Point("sd15", 256, 256, 4), "float16", 32 * MIB, True)
    sliced = reserve.usage(Point("sd15", 256, 256, 4, ("vae_slicing",)), "float16", 32 * MIB, True)
    assert 32 * MIB < sliced.allocated < whole.allocated <= whole.reserved
    assert sliced.reserved < whole.reserved
