"""What models need in memory: asked once for each, of a worker or a short-lived process."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pydantic import ValidationError

from mysticanvas import logs, processes
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.tracing import (
    BatchClass,
    Dtype,
    ImageProfile,
    TraceAnswer,
    TraceOrder,
    TraceReply,
)
from mysticanvas.errors import ModelFileError

TIME_LIMIT_S = 120.0
"""A trace takes 10 s with its imports, on a busy machine some of that."""
_MODULE = "mysticanvas.workers.image.predictor"
_log = logs.get(__name__)


class Subject(NamedTuple):
    """What is profiled."""

    folder: str
    digest: str
    """Of all its files."""
    dtype: Dtype
    device: DeviceKind | None
    """None if only the worker knows."""


class Batches(NamedTuple):
    """Whether models are called with one item, or with more."""

    denoise: BatchClass
    images: BatchClass

    @classmethod
    def of(cls, num_images: int, guided: bool) -> Batches:
        """Those of that many pictures."""
        calls = num_images * (2 if guided else 1)
        return cls("one" if calls == 1 else "more", "one" if num_images == 1 else "more")


Ask = Callable[[Batches], TraceAnswer]
"""Somebody who finds out what a model needs in such batches."""


class Profiles:
    """Profiles of models by their contents, for use from any thread.

    Args:
        time_limit_s: seconds that a process may take.
    """

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s
        self._known: dict[tuple[Subject, Batches], TraceAnswer] = {}
        self._asking = threading.Lock()

    def of(
        self, subject: Subject, batches: Iterable[Batches], ask: Ask | None = None
    ) -> ImageProfile:
        """The profile of a diffusers folder, with its envelopes for all of these.

        Args:
            batches: at least one.
            ask: a worker, which finds out for its own device; by default a process of its own
                does, which takes seconds.

        Raises:
            ModelFileError: the model is damaged, or of an architecture that is not known.
            MystiCanvasError: the worker cannot tell.
        """
        wanted = list(dict.fromkeys(batches))
        if ask is not None:
            answers = [self._answer(subject, each, ask) for each in wanted]
        else:
            # One at a time: each takes a processor and 400 MB for seconds.
            with self._asking:
                answers = [
                    self._answer(subject, each, functools.partial(self._ask_process, subject))
                    for each in wanted
                ]
        traced = {each.key.digest: each for answer in answers for each in answer.profile.traced}
        return answers[0].profile.model_copy(update={"traced": tuple(traced.values())})

    def _answer(self, subject: Subject, batches: Batches, ask: Ask) -> TraceAnswer:
        # By contents: where the folder lies does not matter.
        known = self._known.get((subject._replace(folder=""), batches))
        if known is not None:
            return known
        answer = ask(batches)
        found = subject._replace(
            folder="", dtype=answer.profile.dtype, device=answer.profile.device
        )
        self._known[found, batches] = answer
        return answer

    def _ask_process(self, subject: Subject, batches: Batches) -> TraceAnswer:
        order = TraceOrder(
            folder=subject.folder,
            dtype=subject.dtype,
            device=subject.device or "cpu",
            denoise=batches.denoise,
            images=batches.images,
        )
        return self._ask(order)

    def _ask(self, order: TraceOrder) -> TraceAnswer:
        try:
            done = subprocess.run(
                [sys.executable, "-m", _MODULE, "--parent-pid", str(os.getpid())],
                input=order.model_dump_json().encode() + b"\n",
                env=processes.child_environment(processes.engine_environment(1)),
                capture_output=True,
                timeout=self._time_limit_s,
                check=True,
            )
            reply = TraceReply.model_validate_json(done.stdout)
        except subprocess.TimeoutExpired:
            what = f"that took more than {self._time_limit_s:g} s"
        except (subprocess.CalledProcessError, ValidationError) as error:
            _log.warning("profile_failed", error=type(error).__name__)
            what = "the process that looks into it broke off"
        else:
            if reply.problem is not None:
                raise reply.problem.to_error()
            assert reply.answer is not None
            return reply.answer
        raise ModelFileError(
            f"What {order.folder} needs in memory cannot be told: {what}.",
            hint="Generating does not need it. `mysticanvas logs` has more.",
        )
