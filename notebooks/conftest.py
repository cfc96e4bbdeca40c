"""nbval compares what a display shows first, a reader sees what it shows last. Here they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nbformat.notebooknode import from_dict

Message = dict[str, Any]


class WithUpdates:
    """A kernel's messages, where one that updates a display changes the one that made it."""

    def __init__(self, get_message: Callable[..., Message]) -> None:
        self._get_message = get_message
        self._shown: dict[str, Any] = {}

    def __call__(self, *arguments: Any, **keywords: Any) -> Message:
        message = self._get_message(*arguments, **keywords)
        content = message["content"]
        identifier = content.get("transient", {}).get("display_id")
        if message["msg_type"] == "display_data" and identifier:
            # A node is what nbval keeps as it is; a plain dict would be copied.
            self._shown[identifier] = content["data"] = from_dict(content["data"])
        elif message["msg_type"] == "update_display_data" and identifier in self._shown:
            self._shown[identifier].clear()
            if content["data"].get("text/plain") != "":  # else it went without a trace
                self._shown[identifier].update(content["data"])
        return message


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    yield
    kernel = getattr(item.parent, "kernel", None)
    if kernel is not None and not isinstance(kernel.get_message, WithUpdates):
        kernel.get_message = WithUpdates(kernel.get_message)
