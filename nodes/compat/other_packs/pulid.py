"""The nodes of cubiq/PuLID_ComfyUI: the face in pictures steers the attention of an SDXL model.

Letters: N pictures with a face, D and W feature widths.
"""

import logging
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import Combine, Features
from ....model_files.matching import Need
from ... import input_checks
from ...applying.attach import attach, matching_sites
from ...encoding.encoder import Encoder, as_encoder
from ...encoding.faces.face_features import GivenFaces, face_features
from ...folders import ENCODER_FOLDER, fingerprint, model_names
from ...loading.adapter import ImagePromptAdapter
from ...loading.load import load_adapter, load_encoder
from ...loading.model_library import look_for
from ...loading.models import required
from ...loading.wires import acts_in_middle
from ...remedies import listed
from ..execute import Application, image_prompts
from ..faces import SIZES, Faces, checked_finder, largest
from ..inputs import ATTN_MASK, END_AT, IMAGE, MODEL, START_AT, WEIGHT_TO_5, Input, choice, number, socket, whole
from ..node import CompatNode, Node, Output
from ..reading import read_acting, read_mask
from .shared import FACE_ANALYSIS, PROVIDER, adapter_of, analyser, look

PACK = "PuLID"
FOLDER = "pulid"
FAMILY = "pulid-sdxl"
LOADER, ANALYSER = "Load PuLID Model", "Load InsightFace (PuLID)"
ENCODER = "EVA02-CLIP-L-336"
IDENTITY, LOOK, HIDDEN = "face_embeds_raw", "face_eva_embeds", "face_eva_hidden"
LAYERS = 5  # whose hidden states follow one another


@dataclass(frozen=True)
class Method:
    """How a face joins the attention to the text. zero_tokens: that follow its own, unless a node says how many"""

    combine: Combine
    zero_tokens: int


FIDELITY, STYLE, NEUTRAL = Method("orthogonal v2, one head", 8), Method("orthogonal", 16), Method("add", 0)
METHODS = {"fidelity": FIDELITY, "style": STYLE, "neutral": NEUTRAL}
PROJECTIONS = {"ortho_v2": FIDELITY, "ortho": STYLE, "none": NEUTRAL}


def load_model(self: CompatNode, pulid_file: str) -> tuple[ImagePromptAdapter]:
    return (load_adapter(pulid_file, folder=FOLDER),)


def load_insightface(self: CompatNode, provider: str) -> tuple[Any]:
    return (analyser(provider),)


def load_eva_clip(self: CompatNode) -> tuple[Encoder]:
    """The image encoder that PuLID reads. ValueError: it is not there; the message says where to get it."""
    found = required(look_for(Need("encoder", encoder=ENCODER)), f"PuLID reads {ENCODER}.")
    return (load_encoder(listed(found)),)


def apply_pulid(
    self: CompatNode,
    model: Any,
    pulid: Any,
    eva_clip: Any,
    face_analysis: Any,
    image: Any,
    weight: Any,
    start_at: Any,
    end_at: Any,
    method: Any = None,
    noise: Any = 0.0,
    fidelity: Any = None,
    projection: Any = None,
    attn_mask: Any = None,
) -> tuple[ModelPatcher]:
    """The model with the faces; as it was if no picture shows one, which the log says."""
    input_checks.diffusion_model(model)
    adapter = adapter_of(pulid, "pulid", FAMILY, LOADER)
    matching_sites(model, adapter)
    acting = read_acting(weight, "linear", start_at, end_at, "V only", by_picture=False)
    mask = read_mask(attn_mask)
    adapter = _as_chosen(adapter, method, projection, fidelity, input_checks.number(noise, -1.0, 1.0, "noise"))
    finder = checked_finder(face_analysis, "face_analysis", ANALYSER)
    cond = _faces(adapter, _encoder(eva_clip), finder, image)
    if cond is None:
        return (model.clone(),)
    given = Application(
        title=self.row.title,
        cond=cond,
        uncond=_nobody(cond, adapter.options.noise),
        composition=None,
        **acting,
        layer_weights=None,
        mask=mask,
        mask_resizing="bilinear",
        middle=acts_in_middle(pulid),
    )
    return (attach(model, image_prompts(model, adapter, given)),)


def _as_chosen(
    adapter: ImagePromptAdapter, method: Any, projection: Any, fidelity: Any, noise: float
) -> ImagePromptAdapter:
    """The adapter with what a node says about how it acts. Of several faces it makes the mean of their tokens."""
    if projection is None:
        chosen = METHODS[input_checks.choice("neutral" if method is None else method, list(METHODS), "method")]
    else:
        chosen = PROJECTIONS[input_checks.choice(projection, list(PROJECTIONS), "projection")]
    zero_tokens = chosen.zero_tokens if fidelity is None else input_checks.whole(fidelity, 0, 1024, "fidelity")
    options = replace(adapter.options, combine=chosen.combine, zero_tokens=zero_tokens, noise=noise, averaged=True)
    return adapter.with_options(options)


def _encoder(value: Any) -> Encoder:
    advice = f"PuLID reads {ENCODER}: connect the output of Load Eva Clip (PuLID)."
    try:
        encoder = as_encoder(value)
    except ValueError:
        raise ValueError(f"The eva_clip is {input_checks.described(value)}. {advice}") from None
    if not encoder.reads_faces:
        raise ValueError(f"The eva_clip is {encoder.name or 'an image encoder of core'}. {advice}")
    return encoder


def _faces(adapter: ImagePromptAdapter, encoder: Encoder, finder: Any, image: Any) -> Features | None:
    """The features of the largest face in each picture that shows one; None if none does."""
    faces = Faces(finder, SIZES, largest)
    shown = look(faces, image, "image")
    if not shown:
        logging.getLogger(__name__).warning("%s The model is left as it is.", faces.without_face("the image"))
        return None
    _say_once_what_is_different()
    return face_features(GivenFaces(shown, encoder), [reads.name for reads in adapter.module.reads])


def _nobody(cond: Features, noise: float) -> Features:
    """What stands for nobody: zeros, or uniform noise times a factor, the same for the same faces."""
    if not noise:
        return {name: torch.zeros_like(each[:1]) for name, each in cond.items()}
    generator = torch.Generator().manual_seed(int(cond[IDENTITY].abs().sum()))
    return {name: torch.rand(each.shape, generator=generator).to(each) * noise for name, each in cond.items()}


@cache
def _say_once_what_is_different() -> None:
    logging.getLogger(__name__).info(
        "Apply PuLID keeps the background of faces, which PuLID_ComfyUI paints white with a model for that: give "
        "pictures with a plain background, or use Encode Face Prompt with a mask."
    )


SOURCE = (
    MODEL,
    socket("pulid", "PULID"),
    socket("eva_clip", "EVA_CLIP"),
    socket("face_analysis", FACE_ANALYSIS),
    IMAGE,
)
WINDOW = (START_AT, END_AT)
TO_MODEL = (Output("MODEL"),)
INSTEAD = "In new graphs use Load Face Analyser, Encode Face Prompt and Apply IP-Adapter."


def _node(id: str, title: str, inputs: tuple[Input, ...], outputs: tuple[Output, ...], run: Any, **more: Any) -> Node:
    return Node(id, title, inputs, outputs, run, INSTEAD, pack=PACK, **more)


def _file_changed(pulid_file: str | None = None, **_: object) -> str:
    return fingerprint(FOLDER, pulid_file)


def _encoders_changed(**_: object) -> str:
    return fingerprint(ENCODER_FOLDER, None)


ROWS = (
    _node(
        "PulidModelLoader",
        LOADER,
        (Input("pulid_file", lambda: model_names(FOLDER)),),
        (Output("PULID"),),
        load_model,
        is_changed=_file_changed,
    ),
    _node("PulidInsightFaceLoader", ANALYSER, (PROVIDER,), (Output(FACE_ANALYSIS),), load_insightface),
    _node(
        "PulidEvaClipLoader",
        "Load Eva Clip (PuLID)",
        (),
        (Output("EVA_CLIP"),),
        load_eva_clip,
        is_changed=_encoders_changed,
    ),
    _node(
        "ApplyPulid",
        "Apply PuLID",
        (*SOURCE, choice("method", *METHODS), WEIGHT_TO_5, *WINDOW, ATTN_MASK),
        TO_MODEL,
        apply_pulid,
    ),
    _node(
        "ApplyPulidAdvanced",
        "Apply PuLID Advanced",
        (
            *SOURCE,
            WEIGHT_TO_5,
            choice("projection", *PROJECTIONS),
            whole("fidelity", 8, 0, 32, step=1),
            number("noise", 0.0, -1.0, 1.0, 0.1),
            *WINDOW,
            ATTN_MASK,
        ),
        TO_MODEL,
        apply_pulid,
    ),
)
