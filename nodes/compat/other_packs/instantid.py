"""The nodes of cubiq/ComfyUI_InstantID: the face steers the attention of a model, and its points a ControlNet.

Letters: N pictures with a face, B pictures.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher

from ....faces import draw_key_points
from ....ip_adapter import Features, Tokens
from ... import input_checks
from ...applying.attach import attach
from ...applying.controlnet import tokens_of, with_control
from ...folders import fingerprint, model_names
from ...loading.adapter import ImagePromptAdapter
from ...loading.wires import acts_in_middle
from ..execute import Application, image_prompts
from ..faces import MORE_SIZES, Faces, checked_finder, largest
from ..formulas.combining import combined
from ..formulas.pictures import checked
from ..inputs import END_AT, IMAGE, MODEL, START_AT, Input, choice, number, optional, socket
from ..node import CompatNode, Node, Output
from ..raw import raw_adapter
from ..reading import read_acting, read_mask
from .shared import (
    FACE_ANALYSIS,
    PROVIDER,
    adapter_of,
    analyser,
    look,
)

PACK = "InstantID"
FAMILY = FOLDER = "instantid"
LOADER, ANALYSER = "Load InstantID Model", "InstantID Face Analysis"
IDENTITY = "face_embeds_raw"
COMBINE_NAMES = ("average", "norm average", "concat")
NOISE = 0.35  # in the node that does not ask for it
STRONGEST = 1000.0  # of a ControlNet
MODULUS = 1000000007  # of the seeds


def load_model(self: CompatNode, instantid_file: str) -> tuple[dict[str, Any]]:
    return (raw_adapter(instantid_file, FOLDER, FAMILY),)


def load_insight_face(self: CompatNode, provider: str) -> tuple[Any]:
    return (analyser(provider),)


def preprocess_image(self: CompatNode, faceanalysis: Any, image: Any) -> tuple[torch.Tensor]:
    """The points of the largest face in each picture that shows one; black pictures if none does."""
    points = _points(faceanalysis, image, "image")
    return (torch.zeros_like(image) if points is None else points,)


def apply_instantid(
    self: CompatNode,
    instantid: Any,
    insightface: Any,
    control_net: Any,
    image: Any,
    model: Any,
    positive: Any,
    negative: Any,
    start_at: Any,
    end_at: Any,
    weight: Any = 0.8,
    ip_weight: Any = None,
    cn_strength: Any = None,
    noise: Any = NOISE,
    image_kps: Any = None,
    mask: Any = None,
    combine_embeds: Any = "average",
) -> tuple[ModelPatcher, list[Any], list[Any]]:
    """The model, and the positive and the negative conditions with the ControlNet.

    The points are those of `image_kps`; of the first reference without it. A picture without a face that is given as
    `image_kps` is one of points already.
    """
    adapter = adapter_of(instantid, "instantid", FAMILY, LOADER)
    cond, uncond = _identities(insightface, image, combine_embeds, noise)
    points = _points(insightface, *((image[:1], "image") if image_kps is None else (image_kps, "image_kps")))
    if points is None and image_kps is None:
        logging.getLogger(__name__).warning(
            "%s found no face in the first picture, so its ControlNet sees no points: connect image_kps, or put a "
            "picture with a face first.",
            self.row.title,
        )
    if points is None:
        points = torch.zeros_like(image) if image_kps is None else image_kps
    acting = Acts((weight, "weight") if ip_weight is None else (ip_weight, "ip_weight"), start_at, end_at, mask)
    steered = _attended(self, model, adapter, cond, uncond, acting, acts_in_middle(instantid))
    controlling = replace(acting, strength=(weight, "weight") if cn_strength is None else (cn_strength, "cn_strength"))
    embeds = _face_embeds(adapter, cond, uncond)
    return steered, *_controlled(embeds, control_net, points, positive, negative, controlling)


def patch_attention(
    self: CompatNode,
    instantid: Any,
    insightface: Any,
    image: Any,
    model: Any,
    weight: Any,
    start_at: Any,
    end_at: Any,
    noise: Any = 0.0,
    mask: Any = None,
) -> tuple[ModelPatcher, dict[str, torch.Tensor]]:
    """The model, and the tokens of the face for the ControlNet. This node acts in the middle block."""
    adapter = adapter_of(instantid, "instantid", FAMILY, LOADER)
    cond, uncond = _identities(insightface, image, COMBINE_NAMES[0], noise)
    acting = Acts((weight, "weight"), start_at, end_at, mask)
    steered = _attended(self, model, adapter, cond, uncond, acting, middle=True)
    return steered, _face_embeds(adapter, cond, uncond)


def apply_controlnet(
    self: CompatNode,
    face_embeds: Any,
    control_net: Any,
    image_kps: Any,
    positive: Any,
    negative: Any,
    strength: Any,
    start_at: Any,
    end_at: Any,
    mask: Any = None,
) -> tuple[list[Any], list[Any]]:
    points = checked(input_checks.image(image_kps, "image_kps"), "image_kps")
    embeds = _checked_embeds(face_embeds)
    if input_checks.number(strength, 0.0, STRONGEST, "strength") == 0:
        return positive, negative
    acting = Acts((strength, "strength"), start_at, end_at, mask)
    return _controlled(embeds, control_net, points, positive, negative, acting)


def _identities(finder: Any, image: Any, combine: Any, noise: Any) -> tuple[Features, Features]:
    """The identity of the faces in pictures, (N, 512) or combined (1, 512), and noise of this shape, or zeros.

    Pictures without a face are left out.

    Raises:
        ValueError: none shows a face.
    """
    method = input_checks.choice(combine, COMBINE_NAMES, "combine_embeds")
    factor = input_checks.number(noise, 0.0, 1.0, "noise")
    faces = _largest(finder)
    shown = look(faces, image, "image")
    if not shown:
        raise ValueError(faces.without_face("the image"))
    every = torch.from_numpy(np.stack([each.chosen[0].embedding for each in shown])).float()
    cond = every if len(every) == 1 or method == "concat" else combined(every, method)
    return {IDENTITY: cond}, {IDENTITY: _noise(cond) * factor if factor else torch.zeros_like(cond)}


def _noise(like: torch.Tensor) -> torch.Tensor:
    """Uniform noise that is the same for the same face."""
    generator = torch.Generator().manual_seed(int(like.sum()) % MODULUS)
    return torch.rand(like.shape, generator=generator)


def _points(finder: Any, image: Any, name: str) -> torch.Tensor | None:
    """The points of the largest face in each of the pictures that shows one, (N, H, W, 3); None if none does."""
    shown = look(_largest(finder), image, name)
    drawn = [draw_key_points(each.chosen, each.picture.shape[1], each.picture.shape[0]) for each in shown]
    return torch.from_numpy(np.stack(drawn)).float() / 255.0 if drawn else None


def _largest(finder: Any) -> Faces:
    return Faces(checked_finder(finder, "face analysis", ANALYSER), MORE_SIZES, largest)


@dataclass(frozen=True)
class Acts:
    """How strongly something acts, when and where.

    strength: a weight, and the name of its input for messages
    """

    strength: tuple[Any, str]
    start: Any
    end: Any
    mask: Any


def _attended(
    node: CompatNode,
    model: Any,
    adapter: ImagePromptAdapter,
    cond: Features,
    uncond: Features,
    acts: Acts,
    middle: bool,
) -> ModelPatcher:
    """The model with the faces in its attention."""
    weight, name = acts.strength
    given = Application(
        title=node.row.title,
        cond=cond,
        uncond=uncond,
        composition=None,
        **read_acting(weight, "linear", acts.start, acts.end, "V only", by_picture=False, name=name),
        layer_weights=None,
        mask=read_mask(acts.mask, "mask"),
        mask_resizing="bilinear",
        middle=middle,
    )
    input_checks.diffusion_model(model)
    return attach(model, image_prompts(model, adapter, given))


def _face_embeds(adapter: ImagePromptAdapter, cond: Features, uncond: Features) -> dict[str, torch.Tensor]:
    """The tokens that the ControlNet reads instead of the text, (N, T, C), as a FACE_EMBEDS wire carries them."""
    tokens = tokens_of(adapter, cond, uncond)
    return {
        side: together.unflatten(1, (len(features[IDENTITY]), -1)).squeeze(0)
        for side, together, features in (("cond", tokens.cond, cond), ("uncond", tokens.uncond, uncond))
    }


def _checked_embeds(value: Any) -> Mapping[str, torch.Tensor]:
    sides = [value.get(side) for side in ("cond", "uncond")] if isinstance(value, Mapping) else [None]
    if not all(isinstance(side, torch.Tensor) and side.ndim == 3 and side.numel() for side in sides):
        raise ValueError(
            f"The face_embeds are {input_checks.described(value)}: connect those of InstantID Patch Attention."
        )
    return value


def _controlled(
    embeds: Mapping[str, torch.Tensor], control_net: Any, points: torch.Tensor, positive: Any, negative: Any, acts: Acts
) -> tuple[list[Any], list[Any]]:
    """The positive and the negative conditions with the ControlNet, which reads the points and the tokens of the face.

    A mask holds for the positive ones.
    """
    strength, name = acts.strength
    percent = (
        input_checks.number(acts.start, 0.0, 1.0, "start_at"),
        input_checks.number(acts.end, 0.0, 1.0, "end_at"),
    )
    mask = read_mask(acts.mask, "mask")
    return with_control(
        input_checks.conditioning(positive, "positive"),
        input_checks.conditioning(negative, "negative"),
        input_checks.expect(control_net, ControlBase, "control_net", "connect InstantID's, from core's loader"),
        points,
        Tokens(embeds["cond"], embeds["uncond"]),
        input_checks.number(strength, 0.0, STRONGEST, name),
        percent,
        {} if mask is None else {"mask": mask, "set_area_to_bounds": False},
    )


INSTANTID = socket("instantid", "INSTANTID")
INSIGHTFACE = socket("insightface", FACE_ANALYSIS)
CONTROL_NET = socket("control_net", "CONTROL_NET")
CONDITIONS = (socket("positive", "CONDITIONING"), socket("negative", "CONDITIONING"))
IMAGE_KPS = socket("image_kps", "IMAGE")
NOISES = number("noise", 0.0, 0.0, 1.0, 0.1)
MASK = optional(socket("mask", "MASK"))
WINDOW = (START_AT, END_AT)
BOTH = (INSTANTID, INSIGHTFACE, CONTROL_NET, IMAGE, MODEL, *CONDITIONS)
TO_CONDITIONS = (Output("CONDITIONING", "positive"), Output("CONDITIONING", "negative"))
TO_MODEL = Output("MODEL", "MODEL")
INSTEAD = "In new graphs use Load Face Analyser, Encode Face Prompt, Apply IP-Adapter, and Apply InstantID ControlNet."


def _node(
    id: str, title: str, inputs: tuple[Input, ...], outputs: tuple[Output, ...], method: Any, **more: Any
) -> Node:
    return Node(id, title, inputs, outputs, method, INSTEAD, pack=PACK, **more)


def _file_changed(instantid_file: str | None = None, **_: object) -> str:
    return fingerprint(FOLDER, instantid_file)


ROWS = (
    _node(
        "InstantIDModelLoader",
        LOADER,
        (Input("instantid_file", lambda: model_names(FOLDER)),),
        (Output("INSTANTID"),),
        load_model,
        is_changed=_file_changed,
    ),
    _node("InstantIDFaceAnalysis", ANALYSER, (PROVIDER,), (Output(FACE_ANALYSIS),), load_insight_face),
    _node(
        "FaceKeypointsPreprocessor",
        "Face Keypoints Preprocessor",
        (socket("faceanalysis", FACE_ANALYSIS), IMAGE),
        (Output("IMAGE"),),
        preprocess_image,
    ),
    _node(
        "ApplyInstantID",
        "Apply InstantID",
        (*BOTH, number("weight", 0.8, 0.0, 5.0, 0.01), *WINDOW, optional(IMAGE_KPS), MASK),
        (TO_MODEL, *TO_CONDITIONS),
        apply_instantid,
    ),
    _node(
        "ApplyInstantIDAdvanced",
        "Apply InstantID Advanced",
        (
            *BOTH,
            number("ip_weight", 0.8, 0.0, 3.0, 0.01),
            number("cn_strength", 0.8, 0.0, 10.0, 0.01),
            *WINDOW,
            NOISES,
            choice("combine_embeds", *COMBINE_NAMES, default="average"),
            optional(IMAGE_KPS),
            MASK,
        ),
        (TO_MODEL, *TO_CONDITIONS),
        apply_instantid,
    ),
    _node(
        "InstantIDAttentionPatch",
        "InstantID Patch Attention",
        (INSTANTID, INSIGHTFACE, IMAGE, MODEL, number("weight", 1.0, -1.0, 3.0, 0.01), *WINDOW, NOISES, MASK),
        (TO_MODEL, Output("FACE_EMBEDS", "FACE_EMBEDS")),
        patch_attention,
    ),
    _node(
        "ApplyInstantIDControlNet",
        "InstantID Apply ControlNet",
        (
            socket("face_embeds", "FACE_EMBEDS"),
            CONTROL_NET,
            IMAGE_KPS,
            *CONDITIONS,
            number("strength", 1.0, 0.0, 10.0, 0.01),
            *WINDOW,
            MASK,
        ),
        TO_CONDITIONS,
        apply_controlnet,
    ),
)
