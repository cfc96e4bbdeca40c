"""The fewest seconds of loading that a series of requests costs, if all are known beforehand: the
shortest way through all that could be on a device after each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Model(NamedTuple):
    """A model that an image worker or a worker of language models can hold; MiB."""

    name: str
    mib: float
    """With its process, between two requests, and without the context below."""
    load_s: float
    """To have it in a process that is there."""
    start_s: float = 0.0
    """To have such a process before."""
    context_mib: float = 0.0
    context_s: float = 0.0
    """Of a language model."""

    @property
    def is_chat(self) -> bool:
        """Whether it is one."""
        return self.context_mib > 0


class Step(NamedTuple):
    """A request."""

    model: Model
    needs_mib: float
    """In the way that needs least, process and all."""


class _Resident(NamedTuple):
    """What is on the device."""

    image: Model | None = None
    chat: Model | None = None
    context: bool = False

    @property
    def image_mib(self) -> float:
        return 0.0 if self.image is None else self.image.mib

    @property
    def chat_mib(self) -> float:
        return 0.0 if self.chat is None else self.chat.mib + self.context * self.chat.context_mib


def seconds(steps: Iterable[Step], budget_mib: float) -> float:
    """Seconds of loading, the first time of each model included.

    Args:
        steps: those that would not fit on the device alone are left out.
    """
    costs = {_Resident(): 0.0}
    for step in steps:
        if step.needs_mib > budget_mib:
            continue
        after: dict[_Resident, float] = {}
        for resident, so_far in costs.items():
            for then, more in _ways(resident, step, budget_mib):
                after[then] = min(after.get(then, float("inf")), so_far + more)
        costs = after
    return min(costs.values())


def _ways(resident: _Resident, step: Step, budget_mib: float) -> Iterator[tuple[_Resident, float]]:
    """What can be on the device after a request, and the seconds of loading for it."""
    model = step.model
    if model.is_chat:
        more = _loading(resident.chat, model) or model.context_s * (not resident.context)
        for each in (resident, resident._replace(image=None)):
            if step.needs_mib + each.image_mib <= budget_mib:
                yield each._replace(chat=model, context=True), more
        return
    more = _loading(resident.image, model)
    kept = [
        resident,
        resident._replace(context=False),
        resident._replace(chat=None, context=False),
    ]
    for each in kept:
        if step.needs_mib + each.chat_mib <= budget_mib:
            yield each._replace(image=model), more


def _loading(there: Model | None, wanted: Model) -> float:
    if there == wanted:
        return 0.0
    return wanted.load_s + (wanted.start_s if there is None else 0.0)
