"""A plan as a notebook shows it."""

from __future__ import annotations

import html
import re

from mysticanvas.contracts.memory import Term
from mysticanvas.session.plan import Plan

TERMS = [
    Term(name="context", mib=400, known="measured"),
    Term(name="held.vae_decode", mib=0.4, known="exact"),
    *(Term(name=f"<{k}>", mib=10 + k, known="exact") for k in range(8)),
]


def plan(system_terms: list[Term]) -> Plan:
    return Plan(
        decision="proceed", terms=TERMS, total_mib=600, free_mib=1000, system_terms=system_terms
    )


def test_each_line_has_the_colour_of_its_stretch_and_no_other_has_it() -> None:
    shown = plan([])._repr_html_()
    bar = re.findall(r'title="(.*?) \(.*?background:(#\w+)', shown)
    key = re.findall(r"color:(#\w+)\">■</span> +\d+ MiB  (.*?) \(", shown)
    assert [(colour, name) for name, colour in bar] == key
    assert len({colour for colour, _ in key}) == len(key) == 9
    assert shown.count("<0>") == 0


def test_what_is_next_to_nothing_is_left_out() -> None:
    made = plan([])
    assert "held" not in made.explain()
    assert "held" not in made._repr_html_()


def test_the_key_leaves_the_words_as_they_are() -> None:
    made = plan([TERMS[0]])
    [words] = re.findall("<pre.*?>(.*)</pre>", made._repr_html_(), re.DOTALL)
    plain = html.unescape(re.sub(r"<span.*?</span>", " ", words))
    assert plain == made.explain()
    assert words.count("■") == 9, "system memory is not in the bar"
