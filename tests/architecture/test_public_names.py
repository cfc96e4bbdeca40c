"""What `import mysticanvas` offers, and what it costs."""

import functools
import inspect
import json
import subprocess
import sys

import pytest

import mysticanvas
from mysticanvas import Canvas, errors
from mysticanvas.contracts.params import GenerateParams

DESCRIBED = (property, functools.cached_property, classmethod, staticmethod)
HEAVY = ("torch", "duckdb", "diffusers", "fastapi", "uvicorn", "numpy", "PIL", "pandas", "httpx")


@pytest.mark.parametrize("name", mysticanvas.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(mysticanvas, name)
    assert name == "__version__" or inspect.getdoc(value)
    assert name in dir(mysticanvas)


def test_every_error_is_public() -> None:
    for error in errors.BY_CODE.values():
        assert error.__name__ in mysticanvas.__all__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Canvass'"):
        _ = mysticanvas.Canvass


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(subprocess.check_output([sys.executable, "-c", script])))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_after("import mysticanvas") & {*HEAVY, "pydantic"}


def test_the_kernel_never_loads_a_model_library_a_database_or_a_server() -> None:
    loaded = modules_after(
        "from mysticanvas import Canvas, Image, Job, Recipe, Reproduction\n"
        "import mysticanvas.session.launch, mysticanvas.client.events, mysticanvas.client.api\n"
        "import mysticanvas.session.collections.plugins"
    )
    assert not loaded & {"torch", "duckdb", "diffusers", "transformers", "fastapi", "uvicorn"}
    assert not loaded & {"pluggy", "mysticanvas.plugins", "mysticanvas_echo"}


ASKING = [name for name in ("generate", "submit", "plan", "sweep") if hasattr(Canvas, name)]
"""What takes the keywords of `generate`, as far as it exists."""


@pytest.mark.parametrize("method", ASKING)
def test_the_keywords_of_generate_are_explicit_so_that_completion_works(method: str) -> None:
    parameters = inspect.signature(getattr(Canvas, method)).parameters
    assert GenerateParams.model_fields.keys() <= parameters.keys()
    for name in GenerateParams.model_fields.keys() - {"prompt"}:
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].annotation is not inspect.Parameter.empty


def test_every_public_member_says_what_it_is() -> None:
    public = [getattr(mysticanvas, name) for name in mysticanvas.__all__]
    for cls in filter(inspect.isclass, public):
        members = {k: v for c in cls.__mro__ if _is_ours(c) for k, v in vars(c).items()}
        for name, member in members.items():
            if not name.startswith("_") and (callable(member) or isinstance(member, DESCRIBED)):
                assert inspect.getdoc(member), f"{cls.__name__}.{name}"


def _is_ours(cls: type) -> bool:
    return cls.__module__.split(".")[0] == "mysticanvas"
