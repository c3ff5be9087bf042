"""Keep image prompts and the code of ComfyUI's TorchCompileModel apart.

ComfyUI compiles without guards on `transformer_options`, where image prompts are. Code that was compiled in a run
without them would be taken for a run with them, and leave them out; the other way round, it fails.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP, get_wrappers_with_key
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY


def uncompiled(model_options: dict[str, Any]) -> AbstractContextManager[object]:
    """A context in which a model that ComfyUI compiles runs its own code instead, and a warning says so.

    Raises:
        ValueError: torch is too old to do so.
    """
    if not get_wrappers_with_key(WrappersMP.APPLY_MODEL, COMPILE_KEY, model_options, is_model_options=True):
        return nullcontext()
    if not hasattr(torch.compiler, "set_stance"):
        raise ValueError(
            f"With torch {torch.__version__}, a compiled model would leave an applied IP-Adapter out in some runs: "
            "remove the node that compiles the model, or install torch 2.6 or later."
        )
    logging.getLogger(__name__).warning(
        "This run does without torch.compile: compiled code would leave an applied IP-Adapter out in some runs. The "
        "node that compiles the model can be removed."
    )
    return torch.compiler.set_stance("force_eager")
