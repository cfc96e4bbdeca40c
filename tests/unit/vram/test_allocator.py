from mysticanvas.vram.allocator import Event, simulate

MIB = 1 << 20


def test_small_blocks_share_segments_of_two_mebibytes() -> None:
    assert simulate(Event(number, MIB) for number in range(3)) == (3 * MIB, 4 * MIB)


def test_a_middling_block_takes_from_a_segment_of_twenty() -> None:
    assert simulate([Event(1, 5 * MIB), Event(2, 5 * MIB)]) == (10 * MIB, 20 * MIB)


def test_a_large_block_gets_its_own_in_steps_of_two() -> None:
    # What is left is too little to be split off, and counts as given out.
    assert simulate([Event(1, 11 * MIB)]) == (12 * MIB, 12 * MIB)


def test_what_was_given_back_is_used_again() -> None:
    events = [Event(1, 12 * MIB), Event(1, -12 * MIB), Event(2, 12 * MIB)]
    assert simulate(events) == (12 * MIB, 12 * MIB)


def test_a_cached_block_that_is_too_small_is_of_no_use() -> None:
    events = [Event(1, 12 * MIB), Event(1, -12 * MIB), Event(2, 14 * MIB)]
    assert simulate(events) == (14 * MIB, 26 * MIB)


def test_a_segment_that_grows_is_cut_to_the_byte_and_grows_at_its_end() -> None:
    assert simulate([Event(1, 11 * MIB)], growing=True) == (11 * MIB, 20 * MIB)
    events = [Event(1, 12 * MIB), Event(2, 7 * MIB), Event(2, -7 * MIB), Event(3, 30 * MIB)]
    # 8 MiB at the end are free, so 22 are missing, in steps of twenty.
    assert simulate(events, growing=True) == (42 * MIB, 60 * MIB)


def test_what_is_free_between_others_is_of_no_use_for_more_than_it_holds() -> None:
    events = [Event(1, 12 * MIB), Event(2, 28 * MIB), Event(1, -12 * MIB), Event(3, 14 * MIB)]
    assert simulate(events, growing=True) == (42 * MIB, 60 * MIB)


def test_a_segment_that_grows_keeps_its_end_for_what_fits_nowhere_else() -> None:
    gap = [Event(1, 10 * MIB), Event(2, 2 * MIB), Event(1, -10 * MIB)]
    # 8 MiB are free at the end, and would be the better fit.
    used = [*gap, Event(3, 6 * MIB), Event(4, 8 * MIB)]
    assert simulate(used, growing=True) == (16 * MIB, 20 * MIB)


def test_neighbours_that_are_free_become_one() -> None:
    halves = [Event(1, 6 * MIB), Event(2, 6 * MIB), Event(1, -6 * MIB), Event(2, -6 * MIB)]
    assert simulate([*halves, Event(3, 18 * MIB)]) == (18 * MIB, 20 * MIB)
