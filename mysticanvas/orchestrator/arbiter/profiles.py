"""What models need in memory: asked once for each, of a worker or a short-lived process."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from mysticanvas import logs
from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.tracing import (
    BatchClass,
    Dtype,
    ImageProfile,
    TraceAnswer,
    TraceOrder,
    TraceReply,
)
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.errors import ModelFileError, StoreError
from mysticanvas.orchestrator import asking
from mysticanvas.store.remembered import Bounded

TIME_LIMIT_S = 120.0
"""A trace takes 10 s with its imports, on a busy machine some of that."""
_MODULE = "mysticanvas.workers.image.predictor"
_LIBRARIES = ("diffusers", "mysticanvas", "torch", "transformers")
"""Distributions that decide what a trace finds; ours has the rules."""
_RULES = 8
"""To be raised with each change of what a trace finds."""
_REMEMBERED = 512
"""Works of a model whose reserve is known at most, the newest ones."""
_RESERVES = TypeAdapter(list[tuple[ImageWork, int]])
T = TypeVar("T")
_log = logs.get(__name__)


class Subject(NamedTuple):
    """What is profiled."""

    path: str
    """A diffusers folder or a single file."""
    digest: str
    """Of all files, those of parts included."""
    dtype: Dtype
    device: DeviceKind | None
    """None if only the worker knows."""
    unet: str | None = None
    vae: str | None = None
    clip: tuple[str, ...] = ()
    """Parts from elsewhere, as in `ModelFiles`."""
    loras: tuple[str, ...] = ()
    lora_digests: tuple[str, ...] = ()

    @property
    def contents(self) -> tuple[str, ...]:
        """Digests of all that is profiled."""
        return self.digest, *self.lora_digests


class Batches(NamedTuple):
    """Whether models are called with one item, or with more."""

    denoise: BatchClass
    images: BatchClass

    @classmethod
    def of(cls, num_images: int, guided: bool) -> Batches:
        """Those of that many pictures."""
        calls = num_images * (2 if guided else 1)
        return cls("one" if calls == 1 else "more", "one" if num_images == 1 else "more")


_EVERY = tuple(Batches.of(count, guided) for count in (1, 2) for guided in (True, False))

Ask = Callable[[Batches], TraceAnswer]
"""Somebody who finds out what a model needs in such batches."""


AskReserve = Callable[[Sequence[ImageWork]], Sequence[int]]
"""Somebody who finds out what the allocator reserves for jobs; who cannot, answers nothing."""


class Keeper(Protocol):
    """Where answers outlast the process."""

    def get(self, key: str) -> str | None:
        """The document under a key; None if there is none."""

    def save(self, key: str, model: str, profile: str) -> None:
        """Keep a document, in place of the one that was there.

        Raises:
            StoreError: it could not be kept.
        """


class Profiles:
    """Profiles of models by their contents, for use from any thread.

    Args:
        keeper: has the answers of earlier processes; None to ask for each again.
        time_limit_s: seconds that a process may take.
    """

    def __init__(self, keeper: Keeper | None = None, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._keeper = keeper
        self._time_limit_s = time_limit_s
        self._answers: Bounded[str, TraceAnswer] = Bounded()
        self._reserved: Bounded[str, Mapping[ImageWork, int]] = Bounded()
        self._asking = threading.Lock()

    def of(
        self, subject: Subject, batches: Iterable[Batches], ask: Ask | None = None
    ) -> ImageProfile:
        """The profile of a model, with its envelopes for all of these.

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
            return _together([self._answer(subject, each, ask) for each in wanted])
        ask = functools.partial(self._ask_process, subject)
        # A process without a context assumes what a worker asks of its device.
        probed = subject.device in (None, "cpu")
        # One at a time: each takes a processor and 400 MB for seconds.
        with self._asking:
            return _together([self._answer(subject, each, ask, probed) for each in wanted])

    def known(self, subject: Subject, batches: Iterable[Batches]) -> ImageProfile | None:
        """The same, if nothing has to be traced for it; None otherwise. Where its files lie
        does not matter."""
        answers = [self._known(key_of(subject, each)) for each in dict.fromkeys(batches)]
        found = [answer for answer in answers if answer is not None]
        return _together(found) if len(found) == len(answers) else None

    def weights(
        self, subject: Subject, check: Callable[[], None] = lambda: None
    ) -> Mapping[str, int]:
        """Component -> bytes in the format that it runs in, of a model that need not be traced.

        Args:
            subject: without a digest, it is not looked for among what is known.
            check: is called now and then while a process finds out; what it raises ends it.

        Raises:
            ModelFileError: as `of`.
        """
        for batches in _EVERY if subject.digest else ():
            if (known := self.known(subject, [batches])) is not None:
                return known.weights
        order = _order(subject).model_copy(update={"phases": ()})
        return self._ask(order, check).profile.weights

    def reserved(
        self,
        subject: Subject,
        works: Sequence[ImageWork],
        ask: AskReserve | None = None,
    ) -> Mapping[ImageWork, int]:
        """Work -> bytes that the allocator of CUDA has reserved at its peak, for those of which it
        is known.

        Args:
            subject: with the format and device that its profile tells. Paths do not matter.
            ask: a worker, which finds out what is not known yet, or answers nothing.

        Raises:
            MystiCanvasError: the worker cannot tell.
        """
        key = _key_of_reserves(subject)
        known = self._reserves(key)
        missing = [each for each in works if each not in known]
        told = [*zip(missing, ask(missing), strict=False)] if missing and ask is not None else []
        if told:
            known = dict([*known.items(), *told][-_REMEMBERED:])
            self._reserved[key] = known
            document = _RESERVES.dump_json([*known.items()], exclude_defaults=True)
            self._keep(key, subject, document.decode())
        return {each: known[each] for each in works if each in known}

    def _reserves(self, key: str) -> Mapping[ImageWork, int]:
        known = self._reserved.get(key)
        if known is None:
            known = dict(self._kept(key, _RESERVES.validate_json) or ())
            self._reserved[key] = known
        return known

    def _answer(
        self, subject: Subject, batches: Batches, ask: Ask, probed: bool = True
    ) -> TraceAnswer:
        """What is known, best of all by a device that was asked; else what `ask` finds out.

        Args:
            probed: whether that asks the device.
        """
        for by_device in dict.fromkeys((True, probed)) if subject.device is not None else ():
            if (known := self._known(key_of(subject, batches, by_device))) is not None:
                return known
        answer = ask(batches)
        profile = answer.profile
        subject = subject._replace(dtype=profile.dtype, device=profile.device)
        key = key_of(subject, batches, probed and answer.probed)
        self._answers[key] = answer
        self._keep(key, subject, answer.model_dump_json())
        return answer

    def _known(self, key: str) -> TraceAnswer | None:
        known = self._answers.get(key)
        if known is None:
            known = self._kept(key, TraceAnswer.model_validate_json)
            if known is not None:
                self._answers[key] = known
        return known

    def _kept(self, key: str, parse: Callable[[str], T]) -> T | None:
        kept = None if self._keeper is None else self._keeper.get(key)
        try:
            return None if kept is None else parse(kept)
        except ValidationError:
            # It is replaced when it is traced again.
            _log.warning("profile_damaged", key=key)
            return None

    def _keep(self, key: str, subject: Subject, document: str) -> None:
        if self._keeper is None:
            return
        try:
            self._keeper.save(key, subject.digest, document)
        except StoreError as error:
            # It can be traced again.
            _log.warning("profile_not_kept", code=error.code)

    def _ask_process(self, subject: Subject, batches: Batches) -> TraceAnswer:
        order = _order(subject)
        return self._ask(
            order.model_copy(update={"denoise": batches.denoise, "images": batches.images})
        )

    def _ask(self, order: TraceOrder, check: Callable[[], None] = lambda: None) -> TraceAnswer:
        try:
            answer = asking.ask(
                _MODULE,
                ["--parent-pid", str(os.getpid())],
                order.model_dump_json().encode() + b"\n",
                child_environment(engine_environment(1)),
                self._time_limit_s,
                check,
            )
            reply = TraceReply.model_validate_json(answer)
        except asking.NO_ANSWER as error:
            asked = "the process that looks into it"
            silence = asking.Silence.of(error, asked, "that", self._time_limit_s)
            _log.warning("profile_failed", **silence.figures)
            raise ModelFileError(
                f"What {order.path} needs in memory cannot be told: {silence.what}.",
                hint="Generating does not need it. `mysticanvas logs` has more.",
            ) from error
        if reply.problem is not None:
            raise reply.problem.to_error()
        assert reply.answer is not None
        return reply.answer


def _order(subject: Subject) -> TraceOrder:
    return TraceOrder(
        path=subject.path,
        unet=subject.unet,
        vae=subject.vae,
        clip=subject.clip,
        loras=subject.loras,
        dtype=subject.dtype,
        device=subject.device or "cpu",
    )


def key_of(subject: Subject, batches: Batches, probed: bool = True) -> str:
    """64 hexadecimal digits, equal for what gives equal answers: where the files lie does not
    matter.

    Args:
        probed: whether the device was asked what it does, rather than that being assumed.
    """
    of_model = *subject.contents, subject.dtype, subject.device
    return sha256_of([*of_model, *batches, _RULES, _versions(), *([] if probed else ["assumed"])])


def _key_of_reserves(subject: Subject) -> str:
    """The key of what jobs of a model reserve."""
    of_model = *subject.contents, subject.dtype, subject.device
    return sha256_of([*of_model, "reserved", _RULES, _versions()])


@functools.cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def _together(answers: Sequence[TraceAnswer]) -> ImageProfile:
    traced = {each.key.digest: each for answer in answers for each in answer.profile.traced}
    return answers[0].profile.model_copy(update={"traced": tuple(traced.values())})
