"""`/v1/presets`: image models and language models under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Body

from mysticanvas.contracts.preset_toml import MAX_PRESETS
from mysticanvas.contracts.presets import DefaultPreset, ImagePreset, Kind, LLMPreset
from mysticanvas.errors import InvalidRequest
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.llm_presets import LLMPresets
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.store import Store

_Several = Body(embed=True, alias="presets", max_length=MAX_PRESETS)


def routes(store: Store, presets: Presets, llm_presets: LLMPresets, pins: Pins) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["presets"])
    _of_images(router, store, presets, pins)
    _of_language(router, store, llm_presets, pins)
    _defaults(router, {"image": presets, "llm": llm_presets})
    return router


def _of_images(router: APIRouter, store: Store, presets: Presets, pins: Pins) -> None:
    @router.get("/presets")
    def every() -> list[ImagePreset]:
        """The image presets by name."""
        return store.presets.list()

    @router.get("/presets/image/{name}")
    def one(name: str) -> ImagePreset:
        """An image preset."""
        return store.presets.get(name)

    @router.put("/presets/image/{name}")
    def save(name: str, body: ImagePreset) -> ImagePreset:
        """Keep a preset under its name; a new revision, if anything of it is new."""
        _require_same(name, body.name)
        return presets.save(body)

    @router.put("/presets/image")
    def save_all(several: Annotated[list[ImagePreset], _Several]) -> list[ImagePreset]:
        """Keep several presets, all or none."""
        return presets.save_all(several)

    @router.delete("/presets/image/{name}")
    def delete(name: str) -> None:
        """Forget a preset; recipes keep all that it was. Its model may go if it was pinned."""
        presets.delete(name)
        pins.clear(name, "image")

    @router.get("/presets/image/{name}/revisions")
    def revisions(name: str) -> list[ImagePreset]:
        """Everything that a preset has been, oldest first; also of one that was deleted."""
        # Of a name that never was one, the look-up tells.
        return list(store.presets.revisions(name)) or [store.presets.get(name)]


def _of_language(router: APIRouter, store: Store, presets: LLMPresets, pins: Pins) -> None:
    @router.get("/presets/llm")
    def every() -> list[LLMPreset]:
        """The language models' presets by name."""
        return store.llm_presets.list()

    @router.get("/presets/llm/{name}")
    def one(name: str) -> LLMPreset:
        """A language model's preset."""
        return store.llm_presets.get(name)

    @router.put("/presets/llm/{name}")
    def save(name: str, body: LLMPreset) -> LLMPreset:
        """Keep a preset under its name; a new revision, if anything of it is new."""
        _require_same(name, body.name)
        return presets.save(body)

    @router.put("/presets/llm")
    def save_all(several: Annotated[list[LLMPreset], _Several]) -> list[LLMPreset]:
        """Keep several presets, all or none."""
        return presets.save_all(several)

    @router.delete("/presets/llm/{name}")
    def delete(name: str) -> None:
        """Forget a preset. Its model may go if it was pinned."""
        presets.delete(name)
        pins.clear(name, "llm")

    @router.get("/presets/llm/{name}/revisions")
    def revisions(name: str) -> list[LLMPreset]:
        """Everything that a preset has been, oldest first; also of one that was deleted."""
        return list(store.llm_presets.revisions(name)) or [store.llm_presets.get(name)]


def _defaults(router: APIRouter, presets: Mapping[Kind, Presets | LLMPresets]) -> None:
    @router.get("/presets/default")
    def default(kind: Kind = "image") -> DefaultPreset:
        """The preset of a kind that is used where none is named."""
        return DefaultPreset(name=presets[kind].default)

    @router.put("/presets/default")
    def set_default(body: DefaultPreset, kind: Kind = "image") -> None:
        """Use a preset of a kind where none is named; of a language model, also none."""
        presets[kind].set_default(body.name)


def _require_same(path: str, body: str) -> None:
    if path != body:
        raise InvalidRequest(
            f"The preset is named {body!r}, and the address {path!r}.",
            parameter="name",
            value=body,
            allowed=path,
        )
