"""Classes that a model's files name: those of diffusers and transformers that load without any
code of the model's own, and no other attribute of either."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.pipelines import pipeline_loading_utils

from mysticanvas.errors import ModelFileError

MODELS = (diffusers.ModelMixin, transformers.PreTrainedModel)
TOKENIZERS = (transformers.PreTrainedTokenizerBase,)
# diffusers is not typed.
_loading: Any = pipeline_loading_utils
_COMPONENTS = (
    *MODELS,
    *TOKENIZERS,
    diffusers.SchedulerMixin,
    transformers.FeatureExtractionMixin,
    transformers.ImageProcessingMixin,
    transformers.ProcessorMixin,
)
"""No pipelines, which would name components of their own, and none of the classes that choose
another by what a file says, such as `AutoModel`."""


def find(library: str, name: str, kinds: tuple[type, ...] = _COMPONENTS) -> Any:
    """A class of that name, as diffusers finds it.

    Args:
        library: one of `model_folders.LIBRARIES`.
        kinds: what it has to be.

    Raises:
        ModelFileError: there is none.
    """
    try:
        found: Any = _loading.simple_get_class_obj(library, name)
    except AttributeError:
        found = None
    if not (isinstance(found, type) and issubclass(found, kinds)):
        raise ModelFileError(
            f"{library} has no component {name[:80]!r} that is loaded; diffusers is "
            f"{diffusers.__version__}, transformers {transformers.__version__}.",
            hint="Code that comes with a model is not run. Another version may have it; some need "
            "torchvision to be installed.",
        )
    return found
