"""What a plan says in words."""

from typing import Any

import pytest

from mysticanvas.contracts.memory import Term
from mysticanvas.contracts.plan import Plan

HUGE = "how long it takes is not known: 256 times the pixels of a picture in the model's own size"


def made(**members: Any) -> Plan:
    terms = [Term(name="weights.unet", mib=10.0, known="exact")]
    return Plan.model_validate(
        {"decision": "proceed", "terms": terms, "total_mib": 10.0, "free_mib": 99.0, **members}
    )


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"seconds": 0.48, "seconds_known": "measured"}, "takes about 0.5 s (measured)"),
        ({"seconds": 1234.5, "seconds_known": "assumed"}, "takes about 1,234 s (assumed)"),
        ({"times_usual_px": 256.0}, HUGE),
    ],
)
def test_how_long_it_takes_is_said(members: dict[str, Any], said: str) -> None:
    assert made(**members).explain().splitlines()[-1] == f"  {said}"


@pytest.mark.parametrize(
    "members",
    [{"times_usual_px": 2.0}, {"decision": "refuse", "times_usual_px": 256.0}],
)
def test_nothing_is_said_of_what_takes_no_time_worth_a_word(members: dict[str, Any]) -> None:
    assert len(made(**members).explain().splitlines()) == 2
