"""What a notebook shows of one of our errors: the user's own lines, and what is wrong.

IPython lets an error render its own traceback. Our frames say nothing to who gave a value that is
not allowed, and would push the message off the screen. `%tb Verbose` shows them all.
"""

from __future__ import annotations

import sys
import traceback
from types import FrameType, TracebackType

_PACKAGE = __name__.partition(".")[0]


def users(whole: TracebackType | None) -> list[TracebackType]:
    """The frames before the first of ours."""
    frames = []
    while whole is not None and not _ours(whole):
        frames.append(whole)
        whole = whole.tb_next
    return frames


def handled(error: BaseException, frames: list[TracebackType]) -> BaseException | None:
    """The error, if any, that was handled in one of these frames as this one was raised.

    Others that it came of are ours, or of what we call.
    """
    there = [frame.tb_frame for frame in frames]
    found = error.__context__
    while found is not None and _where(found) not in there:
        found = found.__context__
    return found


def rendered(error: BaseException) -> list[str]:
    """The lines that IPython shows, in the mode that it is set to."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return traceback.format_exception(error)
    formatter, whole, shown = shell.InteractiveTB, error.__traceback__, error
    frames = users(whole)
    is_ours = len(frames) < sum(1 for _ in traceback.walk_tb(whole))
    if frames and is_ours and formatter.mode != "Verbose":
        # The error itself keeps its cause and all its frames, for a debugger.
        whole, shown = _linked(frames), _copy(error)
        shown.__context__ = handled(error, frames)
    lines: list[str] = formatter.structured_traceback(type(error), shown, whole)
    return lines


def _copy(error: BaseException) -> BaseException:
    """The error without what it came of; made by hand, since a subclass may be made of anything."""
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    return copied


def _linked(frames: list[TracebackType]) -> TracebackType | None:
    linked = None
    for frame in reversed(frames):
        linked = TracebackType(linked, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return linked


def _where(error: BaseException) -> FrameType | None:
    """Where it was caught."""
    return None if error.__traceback__ is None else error.__traceback__.tb_frame


def _ours(frame: TracebackType) -> bool:
    name = str(frame.tb_frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] == _PACKAGE
