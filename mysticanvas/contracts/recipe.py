"""A recipe: everything that decides the pixels of one picture.

Two hashes name it. `request_hash` is known before anything runs: the resolved parameters and the
SHA-256 of every model file. `hash` adds what the run brought: mitigations, device, batch position,
library versions, threads. Members that are not set do not count, so that a later version can add
one without changing the hashes of older pictures.
"""

from __future__ import annotations

import functools
import keyword
from typing import Any, Literal

from pydantic import JsonValue

from mysticanvas.contracts import conditioning, loras
from mysticanvas.contracts.base import Contract, beginning, sha256_of
from mysticanvas.contracts.mitigations import TILE_OVERLAP, tile_px, without_offload
from mysticanvas.contracts.refusal import refused

_TRANSFORMERS = {
    "FluxPipeline": "FluxTransformer2DModel",
    "QwenImagePipeline": "QwenImageTransformer2DModel",
    "StableDiffusion3Pipeline": "SD3Transformer2DModel",
    "ZImagePipeline": "ZImageTransformer2DModel",
}
"""Pipeline -> what denoises in it, for those that are loaded from GGUF."""


AttentionKernel = Literal["cudnn", "flash", "efficient", "math"]
"""A kernel that PyTorch computes attention with, by its name there."""


class ResolvedParams(Contract):
    """The parameters of a job with nothing left open, by their diffusers names.

    `seed` is that of the first picture of the batch; picture k has `seed + k`.
    """

    prompt: str
    negative_prompt: str = ""
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    num_images: int = 1
    scheduler: str
    """Class name of the scheduler."""
    scheduler_config: dict[str, JsonValue] = {}
    """What is changed in the configuration that the model's own scheduler has."""
    loras: dict[str, float] = {}
    """Role of a LoRA, such as `lora_1` for the model file `lora_1.safetensors` -> its weight."""

    @property
    def pixels(self) -> int:
        """Of all pictures of the batch."""
        return self.width * self.height * self.num_images


class Environment(Contract):
    """Where a picture was made: what changes pixels besides the request."""

    device: str
    """Such as `cpu` or `cuda:NVIDIA GeForce RTX 4090`."""
    dtype: str
    threads: int
    """CPU threads; they change pixels by one or two levels."""
    versions: dict[str, str]
    """Distribution name -> version."""
    attention: AttentionKernel | None = None
    """The kernel that computes attention wherever it can; None where it is not known."""


class Recipe(Contract):
    """Everything that decides the pixels of one picture; it cannot be changed.

    `.preset` is a name, `.params` are resolved, by their diffusers names, and `.model_files` has
    the SHA-256 of each file. `.request_hash` is that of what was asked for; `.hash` has where and
    how it ran as well.
    `model_dump(mode="json")` is what the store and the PNG keep.
    """

    version: int = 1
    preset: str
    """Name of the preset; a label, since the files and the environment say what decides pixels."""
    preset_revision: int | None = None
    """Which of its revisions it was; a label as well."""
    pipeline: str
    """Class name of the diffusers pipeline."""
    params: ResolvedParams
    model_files: dict[str, str]
    """Path relative to the model's folder, or the role of a part -> SHA-256."""
    loras: dict[str, str] = {}
    """Name of a LoRA as it was given -> its role, empty for one of the preset that was left out;
    labels that decide no pixel."""
    batch_index: int = 0
    mitigations: tuple[str, ...] = ()
    """What was done to save memory; only what changed pixels counts in the hash."""
    environment: Environment | None = None

    @functools.cached_property
    def request_hash(self) -> str:
        """SHA-256 of what was asked for, as 64 hexadecimal digits."""
        return request_hash(self.params, self.model_files)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of everything that decides the pixels, as 64 hexadecimal digits."""
        run = self.model_dump(
            mode="json", include={"batch_index", "mitigations", "environment"}, exclude_none=True
        )
        run["mitigations"] = list(without_offload(self.mitigations))
        return sha256_of({"request": self.request_hash, "run": run})

    @property
    def seed(self) -> int:
        """The seed of this very picture."""
        return self.params.seed + self.batch_index

    def __repr__(self) -> str:
        params = self.params
        return (
            f"<Recipe {beginning(params.prompt)!r} {params.width}×{params.height} "
            f"steps={params.num_inference_steps} guidance={params.guidance_scale:g} "
            f"scheduler={params.scheduler} seed={self.seed} preset={self.preset!r} "
            f"model_files={len(self.model_files)}>"
        )

    def __str__(self) -> str:
        return repr(self)

    def to_code(self, target: Literal["mysticanvas", "diffusers"] = "mysticanvas") -> str:
        """Python that makes the picture again, as text.

        Args:
            target: `mysticanvas` for a call of `Canvas.generate`, `diffusers` for a script
                that needs nothing of ours; there, put the model's folder in place of `MODEL`.

        Raises:
            InvalidRequest: it is neither of the two, or the recipe has something in place of a
                name, which is not made code: it may come from anybody's picture.
        """
        if not isinstance(target, str) or target not in _CODE:
            raise refused("target", target, " or ".join(map(repr, _CODE)))
        return _CODE[target](self)


def request_hash(params: ResolvedParams, model_files: dict[str, str]) -> str:
    """SHA-256 over the resolved parameters and the contents of the model's files."""
    return sha256_of(
        {"params": params.model_dump(mode="json", exclude_defaults=True), "files": model_files}
    )


def _call(name: str, arguments: dict[str, Any]) -> str:
    lines = [f"    {key}={value!r}," for key, value in arguments.items()]
    return "\n".join([f"{name}(", *lines, ")"])


def _mysticanvas_code(recipe: Recipe) -> str:
    # Whatever the preset has a default for is said, even if there is nothing in it.
    said = ResolvedParams.model_fields.keys() - {"num_images", "loras", "scheduler_config"}
    whole: dict[str, Any] = recipe.params.model_dump(exclude={"loras"})
    differing = recipe.params.model_dump(exclude_defaults=True).keys()
    arguments = {name: value for name, value in whole.items() if name in said | differing}
    arguments["preset"] = recipe.preset
    if recipe.loras:
        weights = recipe.params.loras
        arguments["loras"] = {name: weights.get(role, 0.0) for name, role in recipe.loras.items()}
    call = _call("canvas.generate", arguments)
    pick = f"[{recipe.batch_index}]" if recipe.params.num_images > 1 else ""
    return f"from mysticanvas import Canvas\n\ncanvas = Canvas()\nimage = {call}{pick}\n"


def _diffusers_code(recipe: Recipe) -> str:
    params = recipe.params
    pipeline = _name("pipeline", recipe.pipeline)
    scheduler = _name("params.scheduler", params.scheduler)
    config = "".join(
        f", {_name('params.scheduler_config', key)}={value!r}"
        for key, value in params.scheduler_config.items()
    )
    said = ["prompt", "width", "height", "num_inference_steps", "guidance_scale"]
    # An empty one is none, but where nothing else makes a pipeline look at one at all.
    if params.negative_prompt or conditioning.of(pipeline).apart:
        said.insert(1, "negative_prompt")
    call = _call("pipeline", {name: getattr(params, name) for name in said})[:-2]
    end = params.seed + params.num_images
    ran = recipe.environment
    dtype = _name("environment.dtype", ran.dtype if ran else "float32")
    device = ran.device.partition(":")[0] if ran else "cpu"
    place = "" if device == "cpu" else f".to({device!r})"
    parts = _parts_code(recipe)
    load = "from_single_file" if "model.safetensors" in recipe.model_files else "from_pretrained"
    given = f"dtype=torch.{dtype}" + (", transformer=transformer" if _gguf_of(recipe) else "")
    return f"""\
import torch
from diffusers import {pipeline}, {scheduler}

MODEL = {f"path/to/{recipe.preset}"!r}  # canvas.presets.image[{recipe.preset!r}].model names it

{_gguf_code(recipe, dtype)}pipeline = {pipeline}.{load}(MODEL, {given}){place}{parts}
pipeline.scheduler = {scheduler}.from_config(pipeline.scheduler.config{config})
{_lora_code(recipe)}{_mitigating_code(recipe)}seeds = range({params.seed}, {end})
images = {call}
    num_images_per_prompt={params.num_images},
    generator=[torch.Generator().manual_seed(seed) for seed in seeds],
).images
image = images[{recipe.batch_index}]
"""


def _name(parameter: str, name: str) -> str:
    """What stands in code as it is.

    Raises:
        InvalidRequest: it is no name.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise refused(f"recipe.{parameter}", name, "names that Python has for such a thing")
    return name


def _gguf_of(recipe: Recipe) -> str | None:
    """The role of a GGUF file that denoises."""
    return next((role for role in ("unet.gguf", "model.gguf") if role in recipe.model_files), None)


def _gguf_code(recipe: Recipe, dtype: str) -> str:
    """Lines that load a denoiser whose matrices are quantised; `MODEL` has the other parts."""
    role, kind = _gguf_of(recipe), _TRANSFORMERS.get(recipe.pipeline)
    if role is None or kind is None:
        return ""
    return f"""\
from diffusers import {kind}, GGUFQuantizationConfig

transformer = {kind}.from_single_file(
    "path/to/{role}",
    dtype=torch.{dtype},
    quantization_config=GGUFQuantizationConfig(compute_dtype=torch.{dtype}),
)
"""


def _parts_code(recipe: Recipe) -> str:
    """A comment for each part that visibly came from elsewhere than the model."""
    lines = [
        f"\n# Its {_line(part)} came from elsewhere: put the one with this SHA-256 in its place."
        f"\n#   {_line(name)}: {_line(recipe.model_files[name])}"
        for name in sorted(recipe.model_files)
        for part in [_part(name)]
        if part
    ]
    return "".join(lines)


def _line(text: str) -> str:
    """Text for a comment, which it does not end."""
    return repr(text)[1:-1]


def _part(name: str) -> str:
    """What of a pipeline a weights file with that role replaces; empty for none that shows."""
    role, _, rest = name.partition("/")
    if not name.endswith(".safetensors"):
        return ""
    if role.startswith("clip_"):
        return f"text encoder {role.removeprefix('clip_').partition('.')[0]}"
    is_file = name in ("unet.safetensors", "vae.safetensors")
    is_within = role in ("unet", "vae") and rest.startswith(("unet/", "transformer/", "vae/"))
    return role.partition(".")[0] if is_file or is_within else ""


def _lora_code(recipe: Recipe) -> str:
    """Lines that load LoRAs, and weigh them."""
    weights = recipe.params.loras
    if not weights:
        return ""
    names = {role: name for name, role in recipe.loras.items()}
    lines = []
    for role in weights:
        path = names.get(role, role)
        if not loras.is_path(path):
            path = f"path/to/{path}{loras.SUFFIX}"
        # In the format of the model, and not in that of the file.
        lines.append(
            f"pipeline.load_lora_weights({path!r}, adapter_name={role!r}, low_cpu_mem_usage=False)"
        )
    lines.append(f"pipeline.set_adapters({list(weights)!r}, {list(weights.values())!r})")
    return "".join(f"{line}\n" for line in lines)


def _mitigating_code(recipe: Recipe) -> str:
    """Lines that have the VAE decode as it did."""
    lines = []
    if "vae_cpu" in recipe.mitigations:
        lines.append("# The VAE was on the CPU, in float32.")
    if "vae_slicing" in recipe.mitigations:
        lines.append("pipeline.vae.use_slicing = True")
    if "vae_tiling" in recipe.mitigations:
        side = tile_px(max(recipe.params.width, recipe.params.height))
        lines += [
            "vae = pipeline.vae",
            "vae.use_tiling = True",
            f"vae.tile_sample_min_size = {side}",
            f"vae.tile_latent_min_size = {side} // 2 ** (len(vae.config.block_out_channels) - 1)",
            f"vae.tile_overlap_factor = {TILE_OVERLAP}",
        ]
    return "".join(f"{line}\n" for line in lines)


_CODE = {"mysticanvas": _mysticanvas_code, "diffusers": _diffusers_code}
