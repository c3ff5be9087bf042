"""InstantID's ControlNet: it is guided by the points of a face, and reads the face's tokens instead of the text.

Letters: B pictures, R references, T image tokens, C context width.
"""

from collections.abc import Mapping
from typing import Any, cast

import comfy.model_management
import torch
from comfy.clip_vision import Output
from comfy.controlnet import ControlBase
from comfy.sd import VAE
from comfy_api.latest import io

from ...ip_adapter import Features, Tokens, image_tokens, working_memory
from .. import input_checks
from ..encoding.adapter_features import negative_features, reference_features
from ..loading.adapter import ImagePromptAdapter
from ..loading.wires import as_adapter
from ..sockets import CATEGORY, AdapterInput

FAMILY = "instantid"
LIMIT = 10.0
Conditioning = list[Any]


class ApplyInstantIDControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptInstantIDControlNet",
            display_name="Apply InstantID ControlNet",
            category=CATEGORY,
            description="Lets InstantID's ControlNet place a face: the picture of key points says where, and the "
            "features of Encode Face Prompt whose it is. Use it beside Apply IP-Adapter with the same adapter and "
            "features.",
            search_aliases=[
                "instantid",
                "apply controlnet",
                "face key points",
                "face controlnet",
                "face",
                "key points",
            ],
            inputs=[
                io.Conditioning.Input("positive", tooltip="The prompt."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                io.ControlNet.Input(
                    "control_net", tooltip="InstantID's ControlNet, from core's Load ControlNet Model."
                ),
                io.Image.Input(
                    "key_points",
                    tooltip="The picture of the points of the face, from Encode Face Prompt: where the face is to be.",
                ),
                AdapterInput("adapter", tooltip="InstantID's adapter, from Load IP-Adapter."),
                io.ClipVisionOutput.Input("features", tooltip="The features of the face, from Encode Face Prompt."),
                io.Float.Input(
                    "strength",
                    default=0.8,
                    min=0.0,
                    max=LIMIT,
                    step=0.01,
                    optional=True,
                    tooltip="How strongly the points hold the face in place.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    optional=True,
                    tooltip="From which part of sampling on it acts; 0 is the beginning.",
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    optional=True,
                    tooltip="Up to which part of sampling it acts; 1 is the end.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White where the prompt with this face acts, for several people in one picture. The "
                    "negative prompt acts everywhere.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="Only for ControlNets that read latents."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The prompt, with the ControlNet."),
                io.Conditioning.Output(display_name="negative", tooltip="The negative prompt, with the ControlNet."),
            ],
        )

    @classmethod
    def validate_inputs(cls, start: float | None = 0.0, end: float | None = 1.0) -> bool | str:
        return input_checks.is_range(start, end)

    @classmethod
    def execute(
        cls,
        positive: Conditioning,
        negative: Conditioning,
        control_net: ControlBase,
        key_points: torch.Tensor,
        adapter: Any,
        features: Output,
        strength: float = 0.8,
        start: float = 0.0,
        end: float = 1.0,
        mask: torch.Tensor | None = None,
        vae: Any = None,
    ) -> io.NodeOutput:
        input_checks.conditioning(positive, "positive")
        input_checks.conditioning(negative, "negative")
        input_checks.expect(control_net, ControlBase, "control_net", "connect core's Load ControlNet Model")
        input_checks.image(key_points, "key_points")
        strength = input_checks.number(strength, 0.0, LIMIT, "strength")
        percent = input_checks.part_of_sampling(start, end)
        if vae is not None:
            input_checks.expect(vae, VAE, "vae", "connect the VAE of Load Checkpoint, or nothing")
        area = {} if mask is None else {"mask": input_checks.mask(mask), "set_area_to_bounds": False}
        tokens = face_tokens(_instantid(adapter), features)
        if not strength:
            return io.NodeOutput(positive, negative)
        return io.NodeOutput(
            *with_control(positive, negative, control_net, key_points, tokens, strength, percent, area, vae)
        )


def _instantid(adapter: Any) -> ImagePromptAdapter:
    given = as_adapter(adapter)
    if given.module.family.id != FAMILY:
        raise ValueError(
            f"{given.module.title} is no InstantID adapter, and its tokens mean nothing to InstantID's ControlNet: "
            "load InstantID's ip-adapter.bin (if it is that file, with the variant 'InstantID' of Load IP-Adapter)."
        )
    return given


def face_tokens(adapter: ImagePromptAdapter, features: Output) -> Tokens:
    """The tokens that InstantID's ControlNet reads instead of the text, of all faces together, (1, R * T, C).

    Raises:
        ValueError: the features are not those that the adapter reads.
    """
    input_checks.image_features(features)
    module = adapter.module
    return tokens_of(adapter, reference_features(module, features), negative_features(module, features, None))


def tokens_of(adapter: ImagePromptAdapter, cond: Features, uncond: Features) -> Tokens:
    """The tokens of references and of negative images, each side together, on ComfyUI's device for results."""
    needed = working_memory(adapter.module, cond, uncond)
    device, keep_on = adapter.patcher.load_device, comfy.model_management.intermediate_device()
    comfy.model_management.load_models_gpu([adapter.patcher], memory_required=needed)
    try:
        tokens = image_tokens(adapter.module, cond, uncond, adapter.token_options, device=device, keep_on=keep_on)
    finally:  # sampling needs none of these weights: their room is the model's
        comfy.model_management.unload_model_and_clones(adapter.patcher)
    return tokens.together()


def with_control(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlBase,
    key_points: torch.Tensor,
    tokens: Tokens,
    strength: float,
    percent: tuple[float, float],
    area: Mapping[str, Any],
    vae: Any = None,
) -> tuple[Conditioning, Conditioning]:
    """Both prompts with a ControlNet, as core's Apply ControlNet makes them, which reads tokens instead of the text.

    key_points: the picture that guides it, (B, H, W, C) in 0..1
    percent: the part of sampling in which it acts
    area: what the positive prompt carries besides, so that it acts in a part of the picture
    """
    hint, controls = _rgb(key_points).movedim(-1, 1), dict[Any, Any]()

    def control(before: Any) -> Any:
        """One ControlNet for all prompts that had the same one before, so that it is run for all of them at once."""
        if before not in controls:
            controls[before] = cast(Any, control_net).copy().set_cond_hint(hint, strength, percent, vae=vae)
            controls[before].set_previous_controlnet(before)
        return controls[before]

    def prompt(given: Conditioning, read: torch.Tensor, more: Mapping[str, Any]) -> Conditioning:
        found = {"control_apply_to_uncond": False, "cross_attn_controlnet": read, **more}
        return [[text, {**options, "control": control(options.get("control")), **found}] for text, options in given]

    return prompt(positive, tokens.cond, area), prompt(negative, tokens.uncond, {})


def _rgb(image: torch.Tensor) -> torch.Tensor:
    return image[..., :3] if image.shape[-1] > 2 else image[..., :1].expand(*image.shape[:-1], 3)
