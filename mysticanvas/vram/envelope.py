"""Live bytes of every operation as polynomials of the shape, and their maximum.

A tensor of a network is as large as a product of batch, size and tokens with constants, and an
attention matrix as the square of the size. So what lives while one operation runs is a polynomial
whose coefficients follow exactly from as many traces as it has. The peak is the largest of them
all, and not a polynomial itself: another operation is the largest one at another size.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from mysticanvas.contracts.tracing import Coefficients, Envelope, Row, Scratch, Shape, Unfolding
from mysticanvas.vram import workspace

_NOTHING: Coefficients = (0.0,) * 6
_HAIR = 1e-9
"""Of a byte's share that rounding may leave."""


class Attending(NamedTuple):
    """A call of flash attention on a CPU, for one item and one head."""

    queries: int
    keys: int
    width: int


class Unfolded(NamedTuple):
    """A convolution on a CPU of a single item, which may be small."""

    numbers: int
    """In its input."""
    columns: int
    """Bytes that it takes if they are few."""


class Operation(NamedTuple):
    """What one operation of a trace had: bytes."""

    live: int
    workspace: int = 0
    attending: Attending | None = None
    unfolded: Unfolded | None = None


class Need(NamedTuple):
    """Bytes at the peak of a phase."""

    live: int
    workspace: int

    @property
    def total(self) -> int:
        return self.live + self.workspace


def peak(envelope: Envelope, shape: Shape, threads: int = 1) -> Need:
    """What a phase needs at its largest operation.

    Args:
        threads: of a CPU that computes; without effect elsewhere.
    """
    monomials = _monomials(shape)
    # What depends on lengths by steps does so for one item of the batch.
    single = _monomials(shape.model_copy(update={"batch": 1}))
    needs = (
        Need(
            round(_dot(row.live, monomials)),
            round(_workspace(row, shape.batch, monomials, single))
            + _scratch(row.scratch, single, threads),
        )
        for row in envelope.rows
    )
    return max(needs, key=lambda need: need.total)


def _workspace(row: Row, batch: int, monomials: Sequence[int], single: Sequence[int]) -> float:
    small = row.unfolding
    if small is not None and batch == 1 and _dot(small.numbers, single) <= workspace.UNFOLDED:
        return _dot(small.columns, single)
    return _dot(row.workspace, monomials)


def fit(traces: Sequence[tuple[Shape, Sequence[Operation]]]) -> Envelope:
    """The envelope of a model, from one trace for each monomial that the shapes tell apart.

    Args:
        traces: shapes, and the operations of each, in order.

    Raises:
        ValueError: the operations do not correspond, or the shapes do not determine the fit.
    """
    solve = _Solver([shape for shape, _ in traces])
    if len({len(operations) for _, operations in traces}) != 1:
        raise ValueError("The model does different things for different shapes.")
    solve_single = _SingleSolver([shape for shape, _ in traces])
    operations = zip(*(made for _, made in traces), strict=True)
    rows = {_row(each, solve, solve_single): None for each in operations}
    return Envelope(rows=_undominated(list(rows)))


def _row(samples: Sequence[Operation], solve: _Solver, solve_single: _SingleSolver) -> Row:
    attending = [each.attending for each in samples if each.attending is not None]
    unfolded = [each.unfolded for each in samples if each.unfolded is not None]
    scratch = unfolding = None
    if len(attending) == len(samples):
        scratch = Scratch(
            queries=solve_single([each.queries for each in attending]),
            keys=solve_single([each.keys for each in attending]),
            width=attending[0].width,
        )
    if len(unfolded) == len(samples):
        unfolding = Unfolding(
            numbers=solve_single([each.numbers for each in unfolded]),
            columns=solve_single([each.columns for each in unfolded]),
        )
    return Row(
        live=solve([each.live for each in samples]),
        workspace=solve([each.workspace for each in samples]),
        scratch=scratch,
        unfolding=unfolding,
    )


def _monomials(shape: Shape) -> tuple[int, ...]:
    size = shape.width * shape.height
    each = (1, shape.tokens, shape.width + shape.height, size, size * size)
    return 1, *(shape.batch * factor for factor in each)


def _dot(coefficients: Coefficients, monomials: Sequence[int]) -> float:
    return sum(c * m for c, m in zip(coefficients, monomials, strict=True))


def _scratch(scratch: Scratch | None, lengths: Sequence[int], threads: int) -> int:
    if scratch is None:
        return 0
    queries, keys = round(_dot(scratch.queries, lengths)), round(_dot(scratch.keys, lengths))
    return workspace.flash_on_cpu(queries, keys, scratch.width, threads)


class _Solver:
    """Solves for the coefficients that samples at some shapes determine; the others are 0.

    Which ones these are is a matter of the shapes, in which others are no news: tokens that never
    vary are part of the constant.

    Raises:
        ValueError: the shapes determine more or fewer coefficients than there are samples.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        columns = [
            list(map(Fraction, column)) for column in zip(*map(_monomials, shapes), strict=True)
        ]
        self._used = _independent(columns, [0, 1, 2, 4, 5, 3])
        matrix = [[columns[index][row] for index in self._used] for row in range(len(shapes))]
        self._inverse = [[float(cell) for cell in row] for row in _inverse(matrix)]
        self._cache: dict[tuple[int, ...], Coefficients] = {}

    def __call__(self, samples: Sequence[int]) -> Coefficients:
        key = tuple(samples)
        if key not in self._cache:
            self._cache[key] = self._solve(key)
        return self._cache[key]

    def _solve(self, samples: tuple[int, ...]) -> Coefficients:
        found = list(_NOTHING)
        for index, row in zip(self._used, self._inverse, strict=True):
            value = sum(cell * sample for cell, sample in zip(row, samples, strict=True))
            largest = max(abs(cell * sample) for cell, sample in zip(row, samples, strict=True))
            found[index] = 0.0 if abs(value) <= largest * _HAIR else float(f"{value:.12g}")
        a, b, c, d, e, f = found
        return a, b, c, d, e, f


class _SingleSolver:
    """The same for what is that of a single item, however many the samples had.

    Raises:
        ValueError: as a `_Solver`.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        singles = {
            shape.model_copy(update={"batch": 1}): place for place, shape in enumerate(shapes)
        }
        self._solve = _Solver(list(singles))
        self._places = list(singles.values())

    def __call__(self, samples: Sequence[int]) -> Coefficients:
        return self._solve([samples[place] for place in self._places])


def _independent(columns: Sequence[Sequence[Fraction]], order: Sequence[int]) -> list[int]:
    """Those columns, looked at in that order, that are no combination of the ones before."""
    kept: list[int] = []
    basis: list[list[Fraction]] = []
    for index in order:
        rest = list(columns[index])
        for each in basis:
            pivot = next(i for i, cell in enumerate(each) if cell)
            factor = rest[pivot] / each[pivot]
            rest = [a - factor * b for a, b in zip(rest, each, strict=True)]
        if any(rest):
            basis.append(rest)
            kept.append(index)
    return kept


def _inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """By Gauss and Jordan, exactly.

    Raises:
        ValueError: it is not square, or singular.
    """
    n = len(matrix)
    if any(len(row) != n for row in matrix):
        raise ValueError("There have to be as many shapes as monomials that they tell apart.")
    rows = [[*row, *(Fraction(i == j) for j in range(n))] for i, row in enumerate(matrix)]
    for column in range(n):
        pivot = next((i for i in range(column, n) if rows[i][column]), None)
        if pivot is None:
            raise ValueError("The shapes do not determine the fit.")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [cell / rows[column][column] for cell in rows[column]]
        for i in range(n):
            if i != column and rows[i][column]:
                factor = rows[i][column]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [row[n:] for row in rows]


def _undominated(rows: list[Row]) -> tuple[Row, ...]:
    """Those that no other one exceeds at every shape."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda each: -sum(_sums(each))):
        if not any(_dominates(other, row) for other in kept):
            kept.append(row)
    return tuple(kept)


def _sums(row: Row) -> list[float]:
    return [a + b for a, b in zip(row.live, row.workspace, strict=True)]


def _dominates(larger: Row, smaller: Row) -> bool:
    if smaller.scratch not in (None, larger.scratch):
        return False
    # Where the larger one is small, its workspace is another.
    sums = _sums(larger) if larger.unfolding in (None, smaller.unfolding) else larger.live
    if smaller.unfolding not in (None, larger.unfolding):
        return False
    return all(a >= b for a, b in zip(sums, _sums(smaller), strict=True))
