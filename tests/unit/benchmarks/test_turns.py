from benchmarks.turns import alternate, each_of


def test_every_turn_is_taken_once_a_round_and_the_warm_up_is_not_counted() -> None:
    taken: list[str] = []
    turns = {name: lambda name=name: taken.append(name) for name in ("ours", "theirs")}
    times = alternate(turns, rounds=4, warm_up=2)
    assert {name: len(values) for name, values in times.items()} == {"ours": 4, "theirs": 4}
    rounds = [taken[place : place + 2] for place in range(0, len(taken), 2)]
    assert len(rounds) == 6
    assert all(sorted(each) == ["ours", "theirs"] for each in rounds)
    assert len({tuple(each) for each in rounds}) == 2, "neither side is always the first"


def test_turns_of_a_row_come_one_after_the_other_and_then_again() -> None:
    taken: list[int] = []
    turn = each_of([lambda n=n: taken.append(n) for n in range(3)])
    for _ in range(5):
        turn()
    assert taken == [0, 1, 2, 0, 1]
