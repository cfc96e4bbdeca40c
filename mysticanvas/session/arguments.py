"""What a user passed, checked and turned into what is sent. Nothing here asks the orchestrator.

Making a canvas has to be quick, so what is needed for requests and refusals alone is imported
where it is used.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from mysticanvas import transport
from mysticanvas.client.endpoint import Endpoint
from mysticanvas.contracts.loras import plain
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.home import NoDefaultHome
from mysticanvas.settings import Settings

if TYPE_CHECKING:
    from mysticanvas.contracts.jobs import GenerateRequest
    from mysticanvas.contracts.presets import ImagePreset, Kind

S = TypeVar("S", bound=str)

MAX_PROJECT_CHARS = 200
MAX_PAGE = 1000
MAX_RATING = 5
DEFAULT_PROJECT = "default"
"""Where pictures go of a canvas that has no project."""


class Keywords(TypedDict, total=False):
    """What `generate` and `submit` take besides the prompt and `num_images`, which decides what
    they give."""

    negative_prompt: str | None
    width: int | None
    height: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    seed: int | None
    scheduler: str | None
    scheduler_config: dict[str, Any] | None
    preset: str | Path | ImagePreset | None
    loras: Mapping[str | Path, float] | None
    tags: str | Sequence[str] | None
    priority: Literal["interactive", "background"] | None
    mitigations: Literal["auto", "exact", "none"] | None
    reuse: bool | None
    after_crash: Literal["requeue", "cancel"] | None


def refused(parameter: str, value: object, allowed: str, hint: str = "") -> InvalidRequest:
    """The error for a value that is not allowed."""
    from mysticanvas.contracts import params

    return params.refused(parameter, value, allowed, hint)


def request(
    prompt: object, given: dict[str, Any], unknown: dict[str, Any], project: str | None
) -> GenerateRequest:
    """The request that the arguments of `generate` mean.

    Args:
        given: the keyword arguments; None means "not given".
        unknown: those of no known name.
        project: the canvas's own.

    Raises:
        InvalidRequest: names the parameter, its value and what is allowed.
    """
    from mysticanvas.contracts.jobs import GenerateRequest
    from mysticanvas.contracts.params import parse

    values = {name: value for name, value in given.items() if value is not None}
    after_crash = values.pop("after_crash", "requeue")
    if after_crash not in ("requeue", "cancel"):
        raise refused("after_crash", after_crash, '"requeue" or "cancel"')
    if "preset" in values:
        values["preset"] = _preset(values["preset"])
    if "loras" in values:
        values["loras"] = _loras(values["loras"])
    if "tags" in values and not isinstance(values["tags"], str):
        values["tags"] = listed(values["tags"])
    params = parse(prompt=prompt, **values, **unknown)
    return GenerateRequest(
        params=params, project=project or DEFAULT_PROJECT, after_crash=after_crash
    )


def settings(**given: Any) -> Settings:
    """Settings from arguments and environment; None means "not given".

    Raises:
        InvalidRequest: a value is not allowed, or there is no home and none by default.
    """
    from pydantic import ValidationError

    chosen = {name: plain(value) for name, value in given.items() if value is not None}
    if chosen.get("home") == "":
        raise refused("home", "", Settings.allowed("home"))
    if isinstance(chosen.get("home"), str):
        chosen["home"] = Path(chosen["home"])
    try:
        settings = Settings.load(**chosen)
        # Text stands for a number in a variable alone, which has nothing else.
        Settings.model_validate({"home": settings.home, **chosen}, strict=True)
    except NoDefaultHome:
        raise _no_home() from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        where = name if name in chosen else f"MYSTICANVAS_{name.upper()}"
        value = given[name] if name in chosen else first["input"]
        hint = str(first["ctx"]["error"]) if first["type"] == "value_error" else ""
        raise refused(where, value, Settings.allowed(name), hint) from None
    transport.check(settings.ipc)
    return settings


def _no_home() -> InvalidRequest:
    return InvalidRequest(
        "No home is given, and there is none by default: HOME is not set, and nothing tells the "
        f"home directory of user {os.getuid()}.",
        hint="Set MYSTICANVAS_HOME to a folder that you can write to, or give it: "
        "Canvas(home=...) or --home.",
        parameter="home",
        allowed=Settings.allowed("home"),
    )


def remote(url: object, token: object) -> Endpoint | None:
    """The address that a user gave; None for the home's own orchestrator.

    Raises:
        InvalidRequest: it is no address, or one of the two is missing.
    """
    if url is None and token is None:
        return None
    if not isinstance(url, str) or not transport.is_address(url):
        raise refused("url", url, "an address such as 'http://127.0.0.1:40123', with its token")
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        raise refused("token", token, "the token that belongs to the url, which is plain ASCII")
    return Endpoint(url.rstrip("/"), token)


def project(name: object) -> str | None:
    """The name of a project, or None for all of them.

    Raises:
        InvalidRequest: it is not a text of 1 to 200 characters, or no Unicode.
    """
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_PROJECT_CHARS:
        allowed = f"text of 1 to {MAX_PROJECT_CHARS} characters, or None for all projects"
        raise refused("project", name, allowed)
    return _sendable("project", name)


def text(parameter: str, value: object, most: int) -> str:
    """A text that can be sent.

    Args:
        most: how many characters it may have.

    Raises:
        InvalidRequest: it is none, longer, or no Unicode.
    """
    if not isinstance(value, str) or len(value) > most:
        raise refused(parameter, value, f"text of at most {most:,} characters")
    return _sendable(parameter, value)


def _sendable(parameter: str, value: str) -> str:
    from mysticanvas.contracts.refusal import unicode_text

    return unicode_text(parameter, value)


def one_of(parameter: str, value: S, allowed: tuple[S, ...]) -> S:
    """One of some words.

    Raises:
        InvalidRequest: it is none of them.
    """
    if not isinstance(value, str) or value not in allowed:
        raise refused(parameter, value, ", ".join(map(repr, allowed)))
    return value


def preset_name(value: object, parameter: str = "preset") -> str:
    """The name of a preset that is given, or named.

    Raises:
        InvalidRequest: it is neither, or no preset can have that name.
    """
    from mysticanvas.contracts.presets import ALLOWED, Preset, is_name

    name = value.name if isinstance(value, Preset) else value
    if not isinstance(name, str) or not is_name(name):
        raise refused(parameter, value, f"a preset, or the name of one: {ALLOWED['name']}")
    return name


def preset_named(value: object) -> tuple[str, Kind | None]:
    """The name of a preset that is given, with its kind, or named.

    Raises:
        InvalidRequest: as `preset_name`.
    """
    from mysticanvas.contracts.presets import Preset

    return preset_name(value), value.KIND if isinstance(value, Preset) else None


def flag(parameter: str, value: object) -> bool:
    """A truth value.

    Raises:
        InvalidRequest: it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise refused(parameter, value, "True or False")
    return value


def seconds(parameter: str, value: object) -> float | None:
    """How long to wait; None is for as long as it takes, and so is more than the system can.

    Raises:
        InvalidRequest: it is no number.
    """
    if value is None:
        return None
    number = plain(value)
    real = isinstance(number, int | float) and not isinstance(number, bool)
    # An int may be too large for a float, which `isnan` would make of it.
    if not real or (isinstance(number, float) and math.isnan(number)):
        allowed = "a number of seconds, or None to wait for as long as it takes"
        raise refused(parameter, value, allowed)
    # A wait of more is an OverflowError.
    limit: float = min(number, threading.TIMEOUT_MAX)
    return limit


def path(parameter: str, value: object, allowed: str) -> Path:
    """A path whose `~` is expanded.

    Args:
        allowed: what the parameter takes, in the words of the error.

    Raises:
        InvalidRequest: it is no path, holds a NUL, or begins with the `~name` of nobody.
    """
    if not isinstance(value, str | Path) or "\0" in str(value):
        raise refused(parameter, value, allowed)
    try:
        return Path(value).expanduser()
    except RuntimeError:
        hint = f"The home of {Path(value).parts[0]} is not known."
    raise refused(parameter, str(value), allowed, hint)


def page_size(limit: object) -> int:
    """The number of pictures on a page.

    Raises:
        InvalidRequest: it is not a whole number from 1 to 1000.
    """
    return _whole("limit", limit, 1, MAX_PAGE)


def count(parameter: str, value: object) -> int:
    """A number of things.

    Raises:
        InvalidRequest: it is not a whole number from 1.
    """
    return _whole(parameter, value, 1)


def rating(value: object) -> int:
    """A rating.

    Raises:
        InvalidRequest: it is not a whole number from 0 to 5.
    """
    return _whole("rating", value, 0, MAX_RATING)


def _whole(parameter: str, value: object, low: int, high: int | None = None) -> int:
    to = "" if high is None else f" to {high}"
    allowed = f"a whole number from {low}{to}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise refused(parameter, value, allowed)
    if value < low or (high is not None and value > high):
        raise refused(parameter, value, allowed)
    return value


def identifier(noun: str, value: object) -> str:
    """An id, or 4 and more characters of its head or its tail.

    Raises:
        InvalidRequest: it is not text.
        NotFound: no id looks like that.
    """
    from mysticanvas.contracts.ids import is_part

    if not isinstance(value, str):
        article = "an" if noun[0] in "aeiou" else "a"
        allowed = f"the id of {article} {noun}, or 4 and more characters of its end"
        raise refused("id", value, allowed)
    if not is_part(value.lower()):
        raise NotFound(
            f"There is no {noun} {value[:80]!r}.",
            hint="An id has the digits 0-9 and a-f, and its last 4 to 8 are enough.",
        )
    return value.lower()


def whole_id(parameter: str, value: object, allowed: str) -> str:
    """The id of what is given: of a picture, of a job, or an id itself.

    Args:
        allowed: what the error says is allowed.

    Raises:
        InvalidRequest: it is neither, or only a part of an id.
    """
    from mysticanvas.contracts.ids import is_part

    text = value if isinstance(value, str) else getattr(value, "id", None)
    if not isinstance(text, str) or len(text) != 36 or not is_part(text.lower()):
        raise refused(parameter, value, allowed)
    return text.lower()


def listed(value: object) -> object:
    """A tuple, a set or whatever else can be walked through, as the list that is sent."""
    return list(value) if isinstance(value, Iterable) else value


def _loras(value: object) -> object:
    """Paths are made absolute here; names stay."""
    from mysticanvas.contracts import loras

    if not isinstance(value, Mapping):
        return value
    return {
        str(path("loras", name, loras.ALLOWED).absolute())
        if isinstance(name, Path) or (isinstance(name, str) and loras.is_path(name))
        else name: weight
        for name, weight in value.items()
    }


def _preset(preset: object) -> object:
    """A preset counts by its name, and a path is made absolute here: the orchestrator has another
    working directory."""
    from mysticanvas.contracts.params import ALLOWED
    from mysticanvas.contracts.presets import ImagePreset

    if isinstance(preset, ImagePreset):
        return preset.name
    if isinstance(preset, Path):
        return str(path("preset", preset, ALLOWED["preset"]).absolute())
    if isinstance(preset, str) and os.sep in preset:
        file = path("preset", preset, ALLOWED["preset"])
        if preset.startswith(("~", f".{os.sep}", f"..{os.sep}")) or _exists(file):
            return str(file.absolute())
    return preset


def lies_here(name: str) -> bool:
    """Whether what could be a preset's name is one of a file or folder in the working directory."""
    return name != "" and os.sep not in name and _exists(Path(name))


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # such as a name that is too long for the system, or has a NUL
        return False
