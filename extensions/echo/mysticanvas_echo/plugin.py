"""What the entry point names. Light: every start of MystiCanvas waits for this import."""

from __future__ import annotations

from mysticanvas.plugins.hookspecs import EngineSpec, ToolSpec, hookimpl
from mysticanvas_echo.model import PIPELINE


@hookimpl
def register_engines() -> list[EngineSpec]:
    path = "mysticanvas_echo.engine:EchoEngine"
    return [EngineSpec(kind="echo", path=path, pipelines=(PIPELINE,))]


@hookimpl
def register_tools() -> list[ToolSpec]:
    return [
        ToolSpec(
            name="echo",
            description="Gives a text back as it is. Use it to see whether tools work.",
            parameters={
                "type": "object",
                "properties": {"text": {"type": "string", "maxLength": 1000}},
                "required": ["text"],
                "additionalProperties": False,
            },
            path="mysticanvas_echo.tool:echo",
            permission="read",
        )
    ]
