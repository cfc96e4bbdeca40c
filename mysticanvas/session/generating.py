"""The part of a canvas that makes pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from mysticanvas.session import arguments
from mysticanvas.session.arguments import Keywords
from mysticanvas.session.signatures import spelled_out

if TYPE_CHECKING:
    from mysticanvas.contracts.jobs import GenerateRequest
    from mysticanvas.contracts.recipe import Recipe
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.image import Image
    from mysticanvas.session.images import Images
    from mysticanvas.session.job import Job
    from mysticanvas.session.plan import Plan
    from mysticanvas.session.reproduction import Reproduction


class Generating:
    """`generate`, `submit`, `plan` and `reproduce`; `Canvas` inherits them.

    Args:
        connection: where requests go.
        project: what they are made in; None for the default.
        reuse: what `reuse` is if it is not given.
    """

    def __init__(self, connection: Connection, project: str | None, reuse: bool) -> None:
        self._connection = connection
        self._project = project
        self._reuse = reuse

    @overload
    def generate(
        self, prompt: str, *, num_images: None = None, **keywords: Unpack[Keywords]
    ) -> Image: ...
    @overload
    def generate(self, prompt: str, *, num_images: int, **keywords: Unpack[Keywords]) -> Images: ...
    @spelled_out(Keywords)
    def generate(
        self,
        prompt: str,
        *,
        num_images: int | None = None,
        **keywords: Any,
    ) -> Image | Images:
        """Make a picture from a prompt, and wait for it.

        While it works, one progress line is shown, in a notebook with a preview. The stop button
        cancels the job. What is not given comes from the preset, and is in the picture's recipe.

        Args:
            prompt: what to draw; at most 20,000 characters.
            negative_prompt: what not to draw; at most 20,000 characters.
            width, height: pixels, a multiple of 8 from 8 to 16,384; of 16 for Stable Diffusion 3,
                Flux, Qwen-Image and Z-Image.
            num_inference_steps: steps of denoising, 1 to 1,000.
            guidance_scale: how closely to follow the prompt, 0 to 100; 1 and less is without
                guidance.
            seed: 0 to 2**63 - 1, or to 2**63 - num_images for a batch, whose picture k has
                seed + k. Not given, or -1: one is drawn, and recorded.
            scheduler: a diffusers class name or a usual alias; `canvas.schedulers` lists them.
            scheduler_config: changes to the scheduler's configuration, by its own names.
            num_images: pictures in one batch, 1 to 64.
            preset: a preset, which is saved; its name; the path of a diffusers folder or a
                `.safetensors` checkpoint, `~` expanded; or a hub id such as `owner/name`, of a
                model that is in the local cache. A name goes before a file that is called so.
                `canvas.presets.image.default` by default.
            loras: name or path of a LoRA -> its weight, -10 to 10: a `.safetensors` file, or one
                that `canvas.models.list("lora")` names. They are added to the preset's; the same
                one gets this weight, and 0 leaves it out.
            tags: what to file the pictures under: a name, or several. They are no part of the
                recipe.
            priority: `interactive` goes before `background`; a background job that has not come
                half way makes room for it, and begins again behind it.
            mitigations: what may be done if memory runs out: `auto`, the default, whatever helps,
                even if it changes pixels, which the picture's recipe then says; `exact`, only what
                keeps them; `none`, nothing.
            reuse: whether a picture of the same request that is there already will do: of the same
                parameters and model, in the number format that the preset asks for, if it asks
                for one, and of no other pixels than `mitigations` allows. Without a seed, the seed
                then follows from the request. The canvas's own by default.
            after_crash: what becomes of the job if the orchestrator itself is killed while it
                runs: `requeue`, the default, runs it again, `cancel` does not.

        Returns:
            The picture; a list of pictures if `num_images` is given, even 1.

        Raises:
            InvalidRequest: a parameter is not allowed; no job is made.
            PresetError, ModelFileError: the model cannot be used.
            DoesNotFit: no room can be made; `.plan` says why, `.suggestion` what would fit.
            OutOfMemory, WorkerCrashed, StoreFull: the job failed.
            JobCancelled: it was cancelled from elsewhere.
            Stopped: the stop button; `.job` is the cancelled job.
            OrchestratorUnavailable: the orchestrator is lost and cannot be started again.
        """
        from mysticanvas.session import calls

        request = self._asked(prompt, num_images, keywords)
        if num_images is None:
            return calls.run(self._connection, request, calls.one(self._connection))
        return calls.run(self._connection, request, calls.several(self._connection))

    @overload
    def submit(
        self, prompt: str, *, num_images: None = None, **keywords: Unpack[Keywords]
    ) -> Job[Image]: ...
    @overload
    def submit(
        self, prompt: str, *, num_images: int, **keywords: Unpack[Keywords]
    ) -> Job[Images]: ...
    @spelled_out(Keywords)
    def submit(
        self,
        prompt: str,
        *,
        num_images: int | None = None,
        **keywords: Any,
    ) -> Job[Image] | Job[Images]:
        """Ask for a picture, and go on while it is made.

        The first use of a model waits until its files are read, which tells them from others.

        Args: those of `generate`.

        Returns:
            The job; `job.result()` or `await job` gives what `generate` gives.

        Raises:
            InvalidRequest, PresetError, ModelFileError, StoreFull, OrchestratorUnavailable: as
                for `generate`; no job is made.
            Stopped: the stop button before there was a job to give; none goes on.
        """
        from mysticanvas.session import calls

        request = self._asked(prompt, num_images, keywords)
        if num_images is None:
            return calls.submit(self._connection, request, calls.one(self._connection))
        return calls.submit(self._connection, request, calls.several(self._connection))

    @spelled_out(Keywords)
    def plan(
        self,
        prompt: str = "",
        *,
        num_images: int | None = None,
        **keywords: Unpack[Keywords],
    ) -> Plan:
        """What a request would take of the device's memory, and what would be done so that it
        fits. Nothing is run, and a preset that is given is not saved.

        The first plan of a model takes some seconds, in which its architecture is traced without
        its weights, whether it is a folder or a single file, and with the parts that its preset
        takes from elsewhere. Until a model was loaded on a GPU, the plan is one for the CPU.

        Args: those of `generate`.

        Returns:
            The plan: `.fits`, `.decision`, `.actions`, `.terms`, `.changes_pixels`, and, if it
            does not fit, what was asked for in the largest size that would, as `.suggestion`:
            `canvas.generate(prompt, **plan.suggestion)`.

        Raises:
            InvalidRequest: a parameter is not allowed.
            PresetError, ModelFileError: the model cannot be used, or what it needs is not known.
        """
        from mysticanvas.contracts.plan import PlanRequest
        from mysticanvas.contracts.presets import ImagePreset
        from mysticanvas.session.collections import presets
        from mysticanvas.session.plan import Plan

        given = keywords.get("preset")
        whole = presets.absolute(given) if isinstance(given, ImagePreset) else None
        asked = self._request(prompt, num_images, keywords)
        request = PlanRequest(**dict(asked), preset=whole)
        return Plan.of(self._connection.call(lambda api: api.plan(request)), request)

    def reproduce(self, image: Image | Recipe | Path | str) -> Reproduction:
        """Make a picture again, and say whether it is the same.

        The same batch is run with the same model, and the same picture of it is compared. One
        with identical pixels is not recorded again, unless the original is deleted or its file is
        gone.

        Args:
            image: an image, its id, its recipe, or the path of a PNG saved with its metadata.

        Raises:
            InvalidRequest: nothing of ours can be read from that.
            NotFound: there is no such file or image.
            MystiCanvasError, Stopped: as for `generate`.
        """
        from mysticanvas.session import calls

        return calls.reproduce(self._connection, image, self._project)

    def _asked(
        self, prompt: object, num_images: int | None, keywords: Mapping[str, Any]
    ) -> GenerateRequest:
        """The request, once a preset that was given with it is saved: nothing is, if anything of it
        is not allowed."""
        from mysticanvas.contracts.presets import ImagePreset
        from mysticanvas.session.collections.presets import ImagePresets

        request = self._request(prompt, num_images, keywords)
        if isinstance(preset := keywords.get("preset"), ImagePreset):
            ImagePresets(self._connection, ImagePreset).save(preset)
        return request

    def _request(
        self, prompt: object, num_images: int | None, keywords: Mapping[str, Any]
    ) -> GenerateRequest:
        unknown = {n: value for n, value in keywords.items() if n not in Keywords.__annotations__}
        given = {n: value for n, value in keywords.items() if n not in unknown}
        if given.get("reuse") is None:
            given["reuse"] = self._reuse
        if isinstance(preset := given.get("preset"), str):
            given["preset"] = self._named(preset)
        return arguments.request(
            prompt, {**given, "num_images": num_images}, unknown, self._project
        )

    def _named(self, preset: str) -> str | Path:
        """What a name means: a preset, or a file of the working directory if there is no such
        preset."""
        from mysticanvas.contracts.presets import ImagePreset
        from mysticanvas.session.collections.presets import ImagePresets

        if not arguments.lies_here(preset):
            return preset
        known = ImagePresets(self._connection, ImagePreset)
        return preset if preset in known else Path(preset)
