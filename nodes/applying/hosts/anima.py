"""IP-Adapter on Anima: after a block, with the query of its text attention.

    hidden states = block(...) + weight * gate(embedding of the timestep) * attend(q, K_image, V_image)

The query is normed, and nothing projects the result: LuciferTC9527/ComfyUI-Anima_IP-Adapter.

ComfyUI's Anima has no place for patches after a block, nor after its query. So what acts lies in a slot of
`patches_replace` that only this module reads: there ComfyUI copies it with the model and finds the models that it
needs. A wrapper around the model adds hooks to the modules of acting blocks, and removes them after the call.

Letters: B rows of a call, T frames, L = T * height * width tokens, I inner width, H heads, D = I / H, E width of the
embedding of the timestep.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, cast

import comfy.ldm.anima.model
import torch
from comfy.ldm.cosmos.predict2 import MiniTrainDIT
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP

from ....ip_adapter import BASE_MODELS, Beside, Block
from ..image_prompt import Part, Site
from ..joint import Joint
from ..masks import Grid
from ..sampling import CALLED, KEY
from .host import SitePatch

IN_WORDS = {  # ComfyUI's class -> name, for models that are built like Anima but have no IP-Adapter here
    "CosmosT2IPredict2": "Cosmos-Predict2",
    "CosmosI2VPredict2": "Cosmos-Predict2",
}


class Anima:
    """The host for Anima and models that are built like it: see `Host`."""

    name = "anima"

    def base_model(self, model: ModelPatcher) -> str:
        """The name of the model, by its class and the width of its text."""
        found = _transformer(model)
        if found is None:
            return ""
        kind = type(model.model.model_config).__name__
        (anima,) = (base for base in BASE_MODELS if base.host == self.name)
        widths = {block.cross_attn.context_dim for block in _blocks(found)}
        is_anima = isinstance(found, comfy.ldm.anima.model.Anima) and widths == {anima.context_width}
        return anima.name if is_anima else IN_WORDS.get(kind, kind)

    def sites(self, model: ModelPatcher) -> list[Site]:
        transformer = _transformer(model)
        side = 1 if transformer is None else transformer.patch_spatial
        return [
            Site(Block("block", index, 0, block.x_dim), block.cross_attn.n_heads, "block", side)
            for index, block in enumerate(_blocks(transformer))
        ]

    def paths(self, model: ModelPatcher) -> list[str]:
        return [f"blocks.{index}" for index in range(len(_blocks(_transformer(model))))]

    def join(self, model: ModelPatcher, parts: Mapping[Site, Sequence[Part]], *, carries: bool = False) -> None:
        slots = model.model_options["transformer_options"].get("patches_replace", {}).get(KEY, {})
        for site, some in parts.items():
            slot = (site.block.kind, site.block.index)
            model.set_model_patch_replace(BlockPatch.over(slots.get(slot), site, some, carries), KEY, *slot)
        if not model.get_wrappers(WrappersMP.DIFFUSION_MODEL, KEY):
            model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, _call)


def _transformer(model: ModelPatcher) -> MiniTrainDIT | None:
    found = model.get_model_object("diffusion_model")
    found = getattr(found, "_orig_mod", found)  # torch.compile puts that in
    return found if isinstance(found, MiniTrainDIT) else None


def _blocks(transformer: MiniTrainDIT | None) -> list[Any]:
    return list(cast(Iterable[Any], [] if transformer is None else transformer.blocks))


class BlockPatch(SitePatch):
    """What image prompts add after one block."""


def _call(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
    """Call the model with hooks on the blocks in which something acts."""
    options = kwargs.get("transformer_options", {})
    patches = cast("Mapping[tuple[str, int], BlockPatch]", options.get("patches_replace", {}).get(KEY, {}))
    acting = {index: patch.joint for (_, index), patch in patches.items() if patch.joint.is_acting(options)}
    blocks = cast(Any, executor.class_obj).blocks
    with ExitStack() as hooks:
        for index, joint in acting.items():
            hooked = HookedBlock(joint)
            hooks.enter_context(blocks[index].cross_attn.q_norm.register_forward_hook(hooked.note_query))
            hooks.enter_context(blocks[index].register_forward_hook(hooked.add, with_kwargs=True))
        return executor(*args, **kwargs)


class HookedBlock:
    """The hooks of one block in one call of the model."""

    def __init__(self, joint: Joint):
        self.joint = joint
        self.query: torch.Tensor | None = None

    def note_query(self, _: Any, args: Any, query: torch.Tensor) -> None:
        """Keep the normed query of the text attention, (B, L, H, D)."""
        self.query = query

    def add(self, _: Any, args: Any, kwargs: dict[str, Any], out: torch.Tensor) -> torch.Tensor:
        """The hidden states that the block gives, (B, T, height, width, I), and what image prompts add to them."""
        query, self.query = self.query, None
        if query is None:  # another node skips the attention
            return out
        options, embedding = kwargs["transformer_options"], args[1]
        called, (frames, height, width) = options[CALLED], out.shape[1:4]
        grid = Grid(height, width, (-called[-2] % 2, -called[-1] % 2), frames=frames)
        tokens = out.flatten(1, 3).contiguous()
        beside = Beside(embedding=embedding[:, 0])  # (B, 1, E): all frames have one timestep
        self.joint.add(query.flatten(2), tokens, options, grid, called, beside)
        return tokens.view(out.shape)
