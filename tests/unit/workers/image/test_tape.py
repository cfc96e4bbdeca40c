from mysticanvas.vram.allocator import Event, simulate
from mysticanvas.workers.image.tape import Tape, Trace

MIB = 1 << 20


def test_a_trace_gives_back_what_it_leaves_so_that_it_can_be_played_twice() -> None:
    trace = Trace.of([Event(1, 4 * MIB), Event(2, 8 * MIB), Event(1, -4 * MIB)])
    tape = Tape()
    tape.play(trace)
    tape.play(trace)
    assert simulate(tape.events).allocated == 12 * MIB


def test_what_is_taken_beside_calls_counts_until_it_is_given_back() -> None:
    call = Trace.of([Event(1, 4 * MIB), Event(1, -4 * MIB)])
    tape = Tape()
    kept = tape.take(2 * MIB - 1)
    tape.play(call)
    tape.give(kept)
    tape.play(call)
    assert [event.size for event in tape.events if event.number == kept.number] == [
        2 * MIB,
        -2 * MIB,
    ]
    assert simulate(tape.events).allocated == 6 * MIB
