import re

import pytest

from mysticanvas import errors
from mysticanvas.contracts.problem import Problem

CODES = sorted(errors.BY_CODE)


def every_class(root: type[errors.MystiCanvasError]) -> list[type[errors.MystiCanvasError]]:
    return [root, *(c for child in root.__subclasses__() for c in every_class(child))]


def test_no_two_classes_share_a_code() -> None:
    classes = every_class(errors.MystiCanvasError)
    assert len(classes) == len(errors.BY_CODE)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    line = re.compile(r"([A-Z]\w+)(?: \(\w+\))? +([a-z_]+)$", re.MULTILINE)
    drawn = dict(line.findall(errors.__doc__ or ""))
    assert drawn == {c.__name__: c.code for c in every_class(errors.MystiCanvasError)}


@pytest.mark.parametrize("code", CODES)
def test_an_error_survives_the_wire(code: str) -> None:
    error = errors.BY_CODE[code]("what is wrong", hint="what to do", request_id="r1", thing=[1])
    problem = Problem.model_validate_json(Problem.of(error).model_dump_json())
    again = problem.to_error()
    assert type(again) is errors.BY_CODE[code]
    assert (again.detail, again.hint, again.request_id) == ("what is wrong", "what to do", "r1")
    assert again.extra == {"thing": [1]}
    assert 400 <= problem.status <= 599


def test_errors_are_also_what_python_calls_them() -> None:
    assert issubclass(errors.InvalidRequest, ValueError)
    assert issubclass(errors.NotFound, LookupError)
    assert issubclass(errors.OutOfMemory, MemoryError)
    assert issubclass(errors.PermissionDenied, PermissionError)
    assert issubclass(errors.Stopped, KeyboardInterrupt)


def test_an_unknown_code_from_a_newer_orchestrator_is_still_ours() -> None:
    problem = Problem(code="of_tomorrow", title="t", status=500, detail="d")
    assert type(problem.to_error()) is errors.MystiCanvasError


def test_the_text_of_a_foreign_error_does_not_travel() -> None:
    problem = Problem.of(ValueError("a secret prompt"), "r1")
    assert problem.code == "internal_error"
    assert "secret" not in problem.model_dump_json()
    assert problem.request_id == "r1"


def test_the_message_holds_detail_and_hint() -> None:
    assert str(errors.NotFound("No image 'x'.", hint="See canvas.images().")) == (
        "No image 'x'. See canvas.images()."
    )
