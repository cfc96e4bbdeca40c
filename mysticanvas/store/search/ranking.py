"""One page of a search: the best of the index by one statement, and of the tail beside it.

Where all the pictures that the index finds are few, they are ranked here, as those of the tail are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mysticanvas.contracts.filters import Sort
from mysticanvas.contracts.search import SearchSort
from mysticanvas.store import queries
from mysticanvas.store.connection import Row
from mysticanvas.store.filters import Clause
from mysticanvas.store.pages import among
from mysticanvas.store.search import bm25, statements
from mysticanvas.store.search.documents import Read
from mysticanvas.store.search.plan import Plan
from mysticanvas.store.search.position import TOP, Position
from mysticanvas.store.search.stems import number
from mysticanvas.store.search.tail import Entry, Tail

_SQL = queries.load("search")
_SUMMAND = _SQL["summand"].format(k1=f"{bm25.K1}::DOUBLE", b=f"{bm25.B}::DOUBLE", unit=bm25.UNIT)
_MAX_BITS = 62
FEW = 300
"""Postings that are ranked here at most; with many more, DuckDB is quicker in spite of planning."""

PICTURES_A_TEXT = 400
"""Texts are kept in blocks, and reading one for itself costs as much as these do in a row."""
MOST_TEXTS = 2_000
"""Texts that are picked out at most: their numbers stand in the statement."""
_ALL_TEXTS = Clause("search_texts", {})

Hit = tuple[int, int]
"""Score and seq of a picture; a score of 0 where nothing is ranked."""

_KEYS: Mapping[SearchSort, Callable[[Hit], Hit]] = {
    "best": lambda hit: (-hit[0], -hit[1]),
    "newest": lambda hit: (-hit[1], 0),
    "oldest": lambda hit: (hit[1], 0),
}
"""What is smaller comes first; the blocks `order_…` and `behind_…` say the same in SQL."""
_BEFORE_ALL: Mapping[SearchSort, int] = {"best": TOP, "newest": TOP, "oldest": 0}
"""The seq that a first page comes behind."""


class Found(NamedTuple):
    """The pictures of a page and one more if there are any, in order; and what to go on with."""

    hits: list[Hit]
    position: Position


def ranked(
    read: Read,
    plan: Plan,
    tail: Tail,
    clause: Clause | None,
    start: Position | None,
    limit: int,
    frequent: set[int],
    sort: SearchSort,
) -> Found | None:
    """A page of pictures with their scores.

    Args:
        read: runs a query.
        clause: what the pictures have to meet besides; None for nothing.
        start: the end of the page before; None for page one.
        limit: pictures, at most.
        frequent: terms that were found to be in many pictures, so as not to look again; others
            are added.
        sort: which come first.

    Returns:
        The page; None if the index has changed since the tail was read.
    """
    at = start or Position(tail.newest, seq=_BEFORE_ALL[sort], average=tail.average)
    key = _KEYS[sort]
    asked = _asked(plan, tail, at)
    if not any(term.wanted for term in asked):
        return Found([], at)
    best = _few(read, asked, tail, plan, frequent)
    best = best or _many(read, asked, tail, plan, at, clause, limit, sort)
    if best.generation != tail.generation:
        return None
    idfs = {term.term: idf for term, idf in zip(asked, best.idfs, strict=True) if term.wanted}
    others = [*best.entries, *tail.entries.values()]
    met = _meeting(read, others, clause, lambda entry: _wanted(entry, plan, at.horizon))
    found = [(_score(entry, _counted(entry, plan), idfs, at.average), entry.seq) for entry in met]
    hits = best.hits + [hit for hit in found if key(hit) > key((at.score, at.seq))]
    total = at.total if start else best.total + len(found)
    kept = tuple(idfs[word] for word in plan.words)
    return Found(sorted(hits, key=key)[:limit], at._replace(total=total, idfs=kept))


class _Best(NamedTuple):
    """What the index has, ranked or to be ranked yet."""

    generation: int
    idfs: Sequence[float]
    """Of the terms that were asked for."""
    hits: list[Hit]
    """The first, by score and seq."""
    total: int
    """Pictures that were ranked, those of other pages included."""
    entries: Sequence[Entry]
    """Pictures that may be wanted, and are not among those."""


def _few(
    read: Read, asked: Sequence[_Asked], tail: Tail, plan: Plan, frequent: set[int]
) -> _Best | None:
    """All pictures with one of the terms; None if they are many, or their texts are needed."""
    numbers = [term.number for term in asked]
    if plan.in_text or not frequent.isdisjoint(numbers):
        return None
    hits = statements.hits(numbers, tail)
    # One more for the generation, and one to know that there are not more.
    statement = Clause(_SQL["few"].format(hits=hits.sql, most=FEW + 2), hits.parameters)
    rows = read(statement.sql, **statement.parameters)
    [state], postings = rows[:1], rows[1:]
    if len(postings) > FEW or state["term"] is not None:
        if len(numbers) == 1:
            frequent.update(numbers)
        return None
    counts = Counter(posting["term"] for posting in postings)
    idfs = [_idf(term, counts[term.number], tail.images) for term in asked]
    return _Best(state["seq"], idfs, [], 0, _entries(postings, asked))


def _many(
    read: Read,
    asked: Sequence[_Asked],
    tail: Tail,
    plan: Plan,
    at: Position,
    clause: Clause | None,
    limit: int,
    sort: SearchSort,
) -> _Best:
    """The first of all pictures of the index; the arguments are those of `ranked`."""
    texts = _texts(read, plan, asked, tail)
    statement = _ranked(plan, asked, tail, clause, at, sort, texts)
    rows = read(
        statement.sql,
        **statement.parameters,
        **_columns(asked),
        images=tail.images,
        average=at.average,
        horizon=at.horizon,
        limit=limit,
    )
    hits = [(row["score"], row["seq"]) for row in rows if row["seq"] is not None]
    return _Best(rows[0]["generation"], rows[0]["idfs"], hits, rows[0]["total"], [])


def _idf(term: _Asked, indexed: int, images: int) -> float:
    """The arithmetic of the statement `ranked`."""
    df = indexed + term.elsewhere
    if term.given is not None:
        return term.given
    return math.log10((images - df + 0.5) / (df + 0.5) + 1)


def _entries(postings: Iterable[Row], asked: Sequence[_Asked]) -> list[Entry]:
    """Pictures as far as their postings tell: their other words and their texts are not known."""
    names = {term.number: term.term for term in asked}
    found: dict[int, list[Row]] = {}
    for posting in postings:
        found.setdefault(posting["seq"], []).append(posting)
    return [
        Entry(
            seq=seq,
            text="",
            words=frozenset(),
            tf={names[each["term"]]: each["tf"] for each in some},
            length=some[0]["length"],
            shown=frozenset(names[each["term"]] for each in some if each["shown"]),
        )
        for seq, some in found.items()
    ]


def listed(
    read: Read,
    plan: Plan,
    tail: Tail,
    clause: Clause,
    start: Position | None,
    limit: int,
    sort: Sort,
) -> Found | None:
    """A page for a query without anything to rank by; otherwise as `ranked`."""
    at = start or Position(tail.newest, seq=_BEFORE_ALL[sort])
    out = [entry.seq for entry in tail.entries.values() if _excluded(entry, plan)]
    met = [*_conditions(plan, tail, _ALL_TEXTS), Clause(_SQL["without"], {"out": out})]
    statement = statements.statement("listed", met, clause=clause, **_following(at, sort))
    rows = read(statement.sql, **statement.parameters, horizon=at.horizon, limit=limit)
    if rows[0]["generation"] != tail.generation:
        return None
    hits = sorted(((0, row["seq"]) for row in rows if row["seq"] is not None), key=_KEYS[sort])
    return Found(hits, at._replace(total=at.total if start else rows[0]["total"]))


class _Asked(NamedTuple):
    """A term of the statement."""

    term: str
    number: int
    elsewhere: int
    """In how many pictures of the tail it is."""
    given: float | None
    """Its idf, if it is not to be found out."""
    wanted: bool
    bit: int
    """Tells required terms apart; 0 for the others."""


def _asked(plan: Plan, tail: Tail, at: Position) -> list[_Asked]:
    """The terms in the order of the query; those to be ranked by first."""
    given = at.idfs or (None,) * len(plan.words)
    required = sorted(plan.required)[:_MAX_BITS]
    bits = {term: 1 << place for place, term in enumerate(required)}
    entries = tail.entries.values()

    def term(name: str, idf: float | None, wanted: bool) -> _Asked:
        elsewhere = sum(name in entry.tf for entry in entries)
        return _Asked(name, number(name), elsewhere, idf, wanted, bits.get(name, 0) * wanted)

    return [
        *(term(name, idf, True) for name, idf in zip(plan.words, given, strict=True)),
        *(term(name, bm25.PREFIX_IDF, True) for name in plan.variants),
        *(term(name, 0.0, False) for name in sorted(plan.unwanted)),
    ]


def _columns(asked: Sequence[_Asked]) -> dict[str, object]:
    if len(asked) == 1:
        return {"elsewhere": asked[0].elsewhere, "given": asked[0].given}
    return {
        "terms": [term.number for term in asked],
        "elsewhere": [term.elsewhere for term in asked],
        "given": [term.given for term in asked],
        "wanted": [term.wanted for term in asked],
        "bits": [term.bit for term in asked],
    }


def _ranked(
    plan: Plan,
    asked: Sequence[_Asked],
    tail: Tail,
    clause: Clause | None,
    at: Position,
    sort: SearchSort,
    texts: Clause,
) -> Clause:
    """The statement of a ranked page, and the parameters of what is put together here."""
    conditions = _conditions(plan._replace(unwanted=frozenset()), tail, texts)
    if clause is not None:
        conditions.append(statements.statement("filtered", clause=clause))
    shape = "one" if len(asked) == 1 else "all"
    weighed = _SQL[f"weighed_{shape}"].format(idf=_SQL["idf"])
    required = sum(term.bit for term in asked)
    scored = _SQL[f"scored_{shape}"].format(summand=_SUMMAND, required=required)
    return statements.statement(
        "ranked",
        conditions,
        hits=_counting(plan, asked, tail, texts),
        weighed=Clause(weighed, {}),
        scored=Clause(scored, {}),
        **_following(at, sort),
    )


def _following(at: Position, sort: SearchSort) -> dict[str, Clause]:
    """What comes behind a position, and in which order."""
    score = {"score": at.score} if sort == "best" else {}
    return {
        "behind": Clause(_SQL[f"behind_{sort}"], {"before": at.seq, **score}),
        "order": Clause(_SQL[f"order_{sort}"], {}),
    }


def _texts(read: Read, plan: Plan, asked: Sequence[_Asked], tail: Tail) -> Clause:
    """Where the statement looks for pieces: in the texts that may matter, if they are few."""
    most = min(tail.images // PICTURES_A_TEXT, MOST_TEXTS)
    if not plan.in_text or most < len(asked):
        return _ALL_TEXTS
    candidates = _candidates(plan, asked, tail)
    seqs = [row["seq"] for row in read(candidates.sql, **candidates.parameters, most=most + 1)]
    if len(seqs) > most:
        return _ALL_TEXTS
    chosen = Clause(among("seq", seqs) if seqs else "false", {})
    return statements.statement("texts", chosen=chosen)


def _candidates(plan: Plan, asked: Sequence[_Asked], tail: Tail) -> Clause:
    """Pictures with all of the required terms, or with any of the terms where none is required."""
    required = [number(term) for term in sorted(plan.required)]
    if not required:
        any_of = [term.number for term in asked if term.wanted]
        return statements.statement("with_any", hits=statements.hits(any_of, tail))
    hits = statements.hits(required, tail)
    return statements.statement("with_all", hits=hits, count=Clause(str(len(required)), {}))


def _conditions(plan: Plan, tail: Tail, texts: Clause) -> list[Clause]:
    """What a picture of the index has to meet besides its terms."""
    found = []
    if plan.unwanted:
        numbers = [number(term) for term in sorted(plan.unwanted)]
        found.append(statements.statement("without_terms", hits=statements.hits(numbers, tail)))
    current = statements.current(tail)
    if plan.pieces:
        has = statements.has("with", plan.pieces, " AND ")
        found.append(statements.statement("with_pieces", texts=texts, has=has, current=current))
    if plan.unwanted_pieces:
        has = statements.has("without", plan.unwanted_pieces, " OR ")
        found.append(statements.statement("without_pieces", texts=texts, has=has, current=current))
    return found


def _counting(plan: Plan, asked: Sequence[_Asked], tail: Tail, texts: Clause) -> Clause:
    """The postings of the terms, those of variants as far as they count."""
    variants = [term.number for term in asked if term.term in plan.variants]
    others = [term.number for term in asked if term.term not in plan.variants]
    parts = [statements.hits(others, tail)] if others else []
    if variants:
        has = statements.has("beginning", plan.beginnings, " OR ")
        begun = statements.hits(variants, tail)
        parts.append(statements.statement("hits_with", hits=begun, texts=texts, has=has))
    return statements.joined(" UNION ALL ", parts)


def _wanted(entry: Entry, plan: Plan, horizon: int) -> bool:
    """Whether a picture of the tail is what a ranked query looks for, filters apart."""
    return (
        entry.seq <= horizon
        and any(term in entry.tf for term in _counted(entry, plan))
        and all(piece in entry.text for piece in plan.pieces)
        and not _excluded(entry, plan)
    )


def _excluded(entry: Entry, plan: Plan) -> bool:
    return not plan.unwanted.isdisjoint(entry.shown) or any(
        piece in entry.text for piece in plan.unwanted_pieces
    )


def _counted(entry: Entry, plan: Plan) -> tuple[str, ...]:
    """The terms that this picture is ranked by if it has them."""
    begun = any(piece in entry.text for piece in plan.beginnings)
    return (*plan.words, *plan.variants) if begun else plan.words


def _meeting(
    read: Read, some: Iterable[Entry], clause: Clause | None, wanted: Callable[[Entry], bool]
) -> list[Entry]:
    """Those of some pictures that are wanted and meet the clause."""
    entries = {entry.seq: entry for entry in some if wanted(entry)}
    if clause is None or not entries:
        return list(entries.values())
    sql = _SQL["met"].format(clause=clause.sql)
    return [entries[row["seq"]] for row in read(sql, seqs=list(entries), **clause.parameters)]


def _score(entry: Entry, terms: Sequence[str], idfs: Mapping[str, float], average: float) -> int:
    return sum(
        bm25.score(idfs[term], entry.tf[term], entry.length, average)
        for term in terms
        if term in entry.tf
    )
