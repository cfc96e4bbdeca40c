from mysticanvas.orchestrator.supervisor import backoff


def test_the_wait_doubles_up_to_a_limit() -> None:
    waits = [backoff.delay_s(n) for n in range(1, 12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == backoff.LONGEST_S
    assert backoff.delay_s(0) == 0


def test_a_process_that_ran_well_starts_the_count_anew() -> None:
    assert backoff.failures_in_a_row(5, backoff.STABLE_S) == 1
    assert backoff.failures_in_a_row(5, 1.0) == 6
