import json
import time

import pytest

from mysticanvas.contracts.tracing import Envelope, Shape
from mysticanvas.vram import envelope
from mysticanvas.vram.envelope import Attending, Operation, Unfolded

SQUARES = [Shape(width=side, height=side) for side in (4, 6, 10)]


def linear(shape: Shape) -> Operation:
    return Operation(1000 + 64 * shape.width * shape.height)


def quadratic(shape: Shape) -> Operation:
    return Operation(8 * (shape.width * shape.height) ** 2, workspace=256)


def fitted(*operations, shapes=SQUARES) -> Envelope:
    return envelope.fit([(shape, [each(shape) for each in operations]) for shape in shapes])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (7, 5), (200, 30)])
def test_the_peak_is_that_of_the_largest_operation_at_every_shape(width: int, height: int) -> None:
    shape = Shape(width=width, height=height)
    most = max(sum(each(shape)[:2]) for each in (linear, quadratic))
    assert envelope.peak(fitted(linear, quadratic), shape).total == most


def test_live_and_workspace_are_told_apart() -> None:
    assert envelope.peak(fitted(quadratic), Shape(width=5, height=5)) == (8 * 625, 256)


def test_batch_tokens_and_sides_have_their_own_coefficients() -> None:
    def made(shape: Shape) -> Operation:
        each = 7 * shape.tokens + 5 * (shape.width + shape.height) + 3 * shape.width * shape.height
        return Operation(100 + shape.batch * (11 + each))

    shapes = [
        *(Shape(batch=2, width=side, height=side, tokens=9) for side in (4, 6, 10)),
        Shape(batch=3, width=4, height=4, tokens=9),
        Shape(batch=2, width=4, height=4, tokens=18),
        Shape(batch=2, width=4, height=6, tokens=9),
    ]
    found = fitted(made, shapes=shapes)
    for shape in (Shape(batch=7, width=31, height=3, tokens=100), Shape(batch=2, width=8)):
        assert envelope.peak(found, shape).total == made(shape).live


def test_operations_that_never_are_the_peak_are_left_out() -> None:
    found = fitted(linear, lambda shape: Operation(999), lambda shape: Operation(linear(shape)[0]))
    assert len(found.rows) == 1


def test_flash_attention_takes_buffers_by_thread_and_by_steps_of_its_length() -> None:
    def attention(shape: Shape) -> Operation:
        size = shape.width * shape.height
        return Operation(0, attending=Attending(size, size, 8))

    found = fitted(attention)
    small = envelope.peak(found, Shape(width=10, height=10), threads=1)
    assert small.workspace == 4 * 32 * (100 + 2 + 8)
    large = envelope.peak(found, Shape(width=100, height=100), threads=3)
    assert large.workspace == 3 * 4 * 256 * (512 + 2 + 8)


@pytest.mark.parametrize("batches", [(2, 3), (3, 4)])
def test_the_lengths_of_attention_are_those_of_one_item_whatever_batches_were_fitted(
    batches: tuple[int, int],
) -> None:
    def attention(shape: Shape) -> Operation:
        size = shape.width * shape.height
        return Operation(shape.batch * size, attending=Attending(size, size, 8))

    least, more = batches
    shapes = [each.model_copy(update={"batch": least}) for each in SQUARES]
    shapes.append(shapes[0].model_copy(update={"batch": more}))
    found = fitted(attention, shapes=shapes)
    for batch in (2, 5):
        found_at = envelope.peak(found, Shape(batch=batch, width=20, height=20), threads=3)
        assert found_at == (batch * 400, 3 * 4 * 64 * (400 + 2 + 8))


def test_a_small_convolution_unfolds_its_input_instead() -> None:
    def convolution(shape: Shape) -> Operation:
        size = shape.width * shape.height
        return Operation(0, 40 * size, unfolded=Unfolded(32 * size, 9 * size))

    found = fitted(convolution)
    assert envelope.peak(found, Shape(width=20, height=32)).workspace == 9 * 640
    assert envelope.peak(found, Shape(width=20, height=33)).workspace == 40 * 660


def test_a_model_that_does_something_else_by_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="different things"):
        envelope.fit([(SQUARES[0], [Operation(1)]), (SQUARES[1], [])])


def test_shapes_that_do_not_determine_the_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="as many shapes"):
        fitted(linear, shapes=[SQUARES[0], SQUARES[0]])


def test_an_envelope_survives_json() -> None:
    found = fitted(linear, quadratic)
    assert Envelope.model_validate(json.loads(found.model_dump_json())) == found


def test_a_peak_is_found_in_well_under_a_millisecond() -> None:
    found = fitted(linear, quadratic)
    times = []
    for _ in range(100):
        began = time.perf_counter()
        envelope.peak(found, Shape(width=64, height=64))
        times.append(time.perf_counter() - began)
    # The quickest: others may have the processor meanwhile.
    assert min(times) < 1e-3
