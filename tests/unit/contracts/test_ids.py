import uuid

from mysticanvas.contracts import ids


def test_ids_are_version_7_distinct_and_in_order_of_time() -> None:
    made = [ids.new_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(uuid.UUID(i).version == 7 and uuid.UUID(i).variant == uuid.RFC_4122 for i in made)
    stamps = [i[:13] for i in made]
    assert stamps == sorted(stamps)


def test_the_short_form_is_the_random_tail() -> None:
    assert len({ids.short(ids.new_id()) for _ in range(1000)}) == 1000


def test_what_could_be_a_part_of_an_id() -> None:
    assert ids.is_part(ids.new_id()[:8])
    assert not any(ids.is_part(text) for text in ("abc", "../etc", "a' or 1", "A" * 40, ""))
