"""Make image prompts for a model and attach them to it. All nodes that apply image prompts use this module."""

from collections.abc import Sequence
from typing import cast

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP

from ...ip_adapter import Features, IPAdapter, Strength, match_layers
from ...model_files.matching import APPLIED_TO, Need
from ..activity import timed
from ..loading.adapter import ImagePromptAdapter
from ..loading.model_library import explained
from .hosts import base_model, give_own_patches, host_of
from .image_prompt import OURS, ImagePrompt, Rules, Site
from .lora import add_lora, lora_of
from .masks import EVERYWHERE, Place
from .prepared import Arrangement, Factors, bring, prepare
from .sampling import KEY, PROMPTS, watch


def image_prompt(
    model: ModelPatcher,
    adapter: ImagePromptAdapter,
    cond: Features,
    uncond: Features,
    strength: Strength,
    place: Place = EVERYWHERE,
    *,
    arrangement: Arrangement = "together",
    rules: Rules = OURS,
    factors: Factors = None,
    title: str = "",
    names: tuple[str, ...] = (),
) -> ImagePrompt:
    """Make an image prompt for a model from the features that the adapter reads.

    Args:
        cond, uncond: features by name, of the references and of the negative images
        strength: how strongly it acts, in which of the adapter's layers, and when
        place: where in the picture it acts
        arrangement: how several references act
        rules: what it does with pictures beyond its references, masks and weights
        factors: on the values of each reference and of each negative image, where these act together
        title, names: what people call it, and each of the references

    Raises:
        ValueError: the adapter was made for another model, or makes keys or values that are NaN or infinite.
    """
    matching = matching_sites(model, adapter)
    acting = {site: layer for site, layer in matching.items() if strength.share(layer)}
    with timed("apply"):
        prepared = prepare(
            adapter,
            cond,
            uncond,
            list(acting.values()),
            [adapter.module.heads(layer, site.heads) for site, layer in acting.items()],
            arrangement=arrangement,
            factors=factors,
            dtype=_dtype(model),
            load_device=model.load_device,
            text_projection=text_projection(model, adapter.module) if adapter.module.family.through_model else None,
        )
    return ImagePrompt(
        prepared,
        acting,
        strength,
        place,
        arrangement,
        rules,
        title,
        names,
        adapter.combine,
        lora_of(adapter),
        frozenset(matching),
    )


def attach(model: ModelPatcher, prompts: Sequence[ImagePrompt]) -> ModelPatcher:
    """A clone of the model with these image prompts attached. Those that were attached before stay.

    A prompt of weight 0, or that never acts, is left out, so that the model gives the same bits as without it.
    """
    patched = model.clone()
    host, acting = host_of(model), [prompt for prompt in prompts if not prompt.strength.is_nothing]
    if host and acting:
        _add_loras(patched, acting)
        for prompt in acting:
            host.join(patched, {site: [part] for site, part in prompt.parts().items()})
            bring(patched, prompt.prepared.additional)
        _watch(patched)
        options = patched.model_options["transformer_options"]
        options[PROMPTS] = (*options.get(PROMPTS, ()), *acting)
    return patched


def attach_to_conditions(model: ModelPatcher, prompts: Sequence[ImagePrompt] = ()) -> ModelPatcher:
    """A clone of the model in which the prompts act that conditions carry. Doing it again changes nothing.

    prompts: those that conditions carry, whose LoRAs change the model
    """
    patched = model.clone()
    if host := host_of(model):
        _add_loras(patched, prompts)
        host.join(patched, {site: [] for site in host.sites(model)}, carries=True)
        _watch(patched)
    return patched


def _add_loras(patched: ModelPatcher, prompts: Sequence[ImagePrompt]) -> None:
    for lora in dict.fromkeys(prompt.lora for prompt in prompts if prompt.lora):
        add_lora(patched, lora)


def _watch(patched: ModelPatcher) -> None:
    watch(patched)
    if not patched.get_callbacks(CallbacksMP.ON_CLONE, KEY):
        patched.add_callback_with_key(CallbacksMP.ON_CLONE, KEY, give_own_patches)


def matching_sites(model: ModelPatcher, adapter: ImagePromptAdapter) -> dict[Site, int]:
    """The number of the adapter's layer for each site of the model, in the order of the file.

    Raises:
        ValueError: the adapter was made for another model.
    """
    host, given, made_for = host_of(model), base_model(model), adapter.module.base_model
    if host is None or given not in APPLIED_TO:
        raise ValueError(
            f"{adapter.name} is an IP-Adapter for {made_for}, the model is {given}: here IP-Adapters are applied to "
            f"{', '.join(APPLIED_TO)} models, and there is none for {given}. Connect a {made_for} model."
        )
    family = adapter.module.family
    if given not in (made_for, *family.also_for):
        wrong = f"{adapter.name} is an IP-Adapter for {made_for}, the model is {given}: use one made for {given}."
        published = any(base.name == given for base in family.works_on)
        raise explained(ValueError(wrong), Need("adapter", family=family.id if published else "", base_model=given))
    sites = {site.block: site for site in host.sites(model) if site.acts == family.acts}
    try:
        matched = match_layers(list(sites), adapter.module.layer_widths, family.blocks)
    except ValueError as error:
        raise ValueError(f"{adapter.name} does not fit the model. {error}") from None
    return {sites[block]: layer for block, layer in matched.items()}


def text_projection(model: ModelPatcher, adapter: IPAdapter) -> torch.nn.Module:
    """The model's own projection of text to the context of its attentions, which a Kolors model has.

    adapter: the one whose tokens go through it

    Raises:
        ValueError: it has none, or one of other widths.
    """
    found = getattr(model.get_model_object("diffusion_model"), "encoder_hid_proj", None)
    shape = tuple(getattr(getattr(found, "weight", None), "shape", ()))
    if found is None or len(shape) != 2:
        raise ValueError(
            "The tokens of Kolors FaceID plus go through encoder_hid_proj, which this model does not have: load Kolors "
            "with nodes that keep it (those of ComfyUI-Kolors-MZ), or use Kolors-IP-Adapter-Plus."
        )
    wanted = adapter.context_width, adapter.token_width
    if shape != wanted:
        raise ValueError(
            f"{adapter.title} makes tokens {wanted[1]} wide for layers that take {wanted[0]}, and encoder_hid_proj of "
            f"this model turns {shape[1]} into {shape[0]}: use the adapter that was made for this model."
        )
    return found


def _dtype(model: ModelPatcher) -> torch.dtype:
    """The dtype in which the model computes."""
    dtype = model.get_model_object("manual_cast_dtype")
    return cast(torch.dtype, dtype or model.model_dtype())
