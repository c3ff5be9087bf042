"""Bad inputs of the nodes of the packs for InstantID, for PuLID, for Flux and for SD3.5, by the names of inputs."""

from typing import Any

import face_tools
import tiny
import torch

from ..made import encoder, unet
from ..row import DICT, ENDLESS, IMAGE, LIST, NOT_A_NUMBER, NOTHING, RANGE, TEXT
from .good import sd3_features
from .ipadapter_plus import Values

PROVIDERS = "provider is the text 'TPU': choose one of"
MODEL = "The model is nothing: connect a SD1.5"


def _for_sd15(_: Any) -> Any:
    return tiny.adapter(unet("SD1.5"))


def _sd15(_: Any) -> Any:
    return unet("SD1.5")


def _number(name: str, low: str, high: str) -> tuple[tuple[Any, str], ...]:
    words = f"it must be a number between {low} and {high}"
    return (
        (TEXT, f"The {name} is the text 'a word': {words}"),
        (NOT_A_NUMBER, f"The {name} is nan: {words}"),
        (ENDLESS, f"The {name} is inf: {words}"),
    )


def _file(folder: str, name: str = "adapter") -> tuple[tuple[Any, str], ...]:
    return (
        (NOTHING, f"The {name} is nothing: give the name of a file in models/{folder}"),
        ("x.safetensors", f"x.safetensors is not in models/{folder}: choose a file"),
        ("../x.safetensors", f"../x.safetensors is not in models/{folder}: choose a file"),
    )


def _mask(name: str) -> tuple[tuple[Any, str], ...]:
    return (
        (TEXT, f"The {name} is the text 'a word': connect a MASK"),
        (torch.ones(1, 1, 8, 8), f"The {name} is a tensor of shape .1, 1, 8, 8.: connect a MASK"),
        (torch.full((1, 8, 8), NOT_A_NUMBER), f"The {name} holds NaN or infinite numbers"),
    )


PICTURES = (
    (NOTHING, f"The image is nothing: {IMAGE}"),
    (torch.zeros(8, 8, 3), f"The image is a tensor of shape .8, 8, 3.: {IMAGE}"),
    (torch.zeros(0, 112, 160, 3), "The image has the shape .0, 112, 160, 3., which holds no picture"),
    (torch.full((1, 112, 160, 3), NOT_A_NUMBER), "The image holds NaN or infinite numbers"),
)
FACE_WEIGHT = ((TEXT, "weight is the text 'a word': give a finite number"), (NOT_A_NUMBER, "weight is nan: give a"))
WINDOW: Values = {
    "start_at": ((TEXT, f"The start_at is the text 'a word': it {RANGE}"), (1.5, f"The start_at is 1.5: it {RANGE}")),
    "end_at": ((NOT_A_NUMBER, f"The end_at is nan: it {RANGE}"), (-0.5, f"The end_at is -0.5: it {RANGE}")),
    "start_percent": _number("start_percent", "0", "1"),
    "end_percent": _number("end_percent", "0", "1"),
}

INSTANTID: Values = {
    **WINDOW,
    "instantid_file": _file("instantid"),
    "provider": (("TPU", f"{PROVIDERS} CPU, CUDA"), (LIST, "The input provider is a list of 2: choose one of CPU")),
    "faceanalysis": ((TEXT, "The face analysis is the text 'a word': connect the output of InstantID Face Analysis"),),
    "insightface": (
        (NOTHING, "The face analysis is nothing: connect the output of InstantID Face Analysis"),
        (lambda _: face_tools.Analysis(), "No face was found in the image"),
    ),
    "image": PICTURES,
    "instantid": (
        (NOTHING, "The instantid is nothing: connect the output of Load InstantID Model"),
        (DICT, "The instantid is a dict with image_proj, ip_adapter: connect the output of Load InstantID Model"),
        (_for_sd15, "The instantid is an IP-Adapter .base. for SD1.5, which is of another kind: connect the output of"),
    ),
    "control_net": ((DICT, "The control_net is a dict with image_proj, ip_adapter: connect InstantID's, from core's"),),
    "model": ((NOTHING, MODEL), (_sd15, "for SDXL, the model is SD1.5")),
    "positive": ((TEXT, "The positive is the text 'a word': connect a CONDITIONING"),),
    "negative": ((NOTHING, "The negative is nothing: connect a CONDITIONING"),),
    "weight": FACE_WEIGHT,
    "ip_weight": FACE_WEIGHT,
    "cn_strength": _number("cn_strength", "0", "1000"),
    "strength": _number("strength", "0", "1000"),
    "noise": _number("noise", "0", "1"),
    "combine_embeds": (("sum", "combine_embeds is the text 'sum': choose one of average, norm average, concat"),),
    "image_kps": (
        (TEXT, f"The image_kps is the text 'a word': {IMAGE}"),
        (torch.zeros(0, 8, 8, 3), "The image_kps has the shape .0, 8, 8, 3., which holds no picture"),
    ),
    "mask": _mask("mask"),
    "face_embeds": (
        (NOTHING, "The face_embeds are nothing: connect those of InstantID Patch Attention"),
        ({"cond": torch.zeros(2, 4)}, "The face_embeds are a dict with cond: connect those of InstantID Patch Attent"),
    ),
}
PULID: Values = {
    **WINDOW,
    "pulid_file": _file("pulid"),
    "provider": INSTANTID["provider"],
    "model": ((NOTHING, MODEL), (_sd15, "for SDXL, the model is SD1.5")),
    "pulid": (
        (NOTHING, "The pulid is nothing: connect the output of Load PuLID Model"),
        (_for_sd15, "The pulid is an IP-Adapter .base. for SD1.5, which is of another kind: connect the output of"),
    ),
    "eva_clip": (
        (TEXT, "The eva_clip is the text 'a word'. PuLID reads EVA02-CLIP-L-336: connect the output of Load Eva"),
        (lambda _: encoder(), "The eva_clip is tiny CLIP. PuLID reads EVA02-CLIP-L-336: connect the output of"),
    ),
    "face_analysis": ((DICT, "The face_analysis is a dict with image_proj, ip_adapter: connect the output of Load I"),),
    "image": PICTURES,
    "method": (("style transfer", "method is the text 'style transfer': choose one of fidelity, style, neutral"),),
    "projection": (("ortho_v3", "projection is the text 'ortho_v3': choose one of ortho_v2, ortho, none"),),
    "fidelity": (
        (-1, "The fidelity is -1: it must be a number between 0 and 1024"),
        (7.5, "The fidelity is 7.5: it must be a whole number"),
    ),
    "noise": _number("noise", "-1", "1"),
    "weight": FACE_WEIGHT,
    "attn_mask": _mask("attn_mask"),
}
XLABS: Values = {
    "ipadatper": _file("xlabs_ipadapters"),
    "clip_vision": _file("clip_vision", "encoder"),
    "provider": (("TPU", f"{PROVIDERS} CPU, GPU"),),
    "model": ((NOTHING, MODEL), (_sd15, "for Flux, the model is SD1.5")),
    "ip_adapter_flux": (
        (NOTHING, "The ip_adapter_flux is nothing: connect the output of Load Flux IPAdatpter"),
        (_for_sd15, "The ip_adapter_flux is an IP-Adapter .base. for SD1.5, which is of another kind: connect the"),
    ),
    "image": PICTURES,
    "ip_scale": _number("ip_scale", "0", "1"),
    "begin_strength": _number("begin_strength", "-100", "100"),
    "end_strength": _number("end_strength", "-100", "100"),
    "smothing_type": (("Cosine", "smothing_type is the text 'Cosine': choose one of Linear, First half"),),
}
INSTANTX_FLUX: Values = {
    **WINDOW,
    "ipadapter": _file("ipadapter-flux"),
    "clip_vision": (
        ("openai/clip", "clip_vision is the text 'openai/clip': choose one of google/siglip-so400m-patch"),
    ),
    "provider": (("TPU", f"{PROVIDERS} cuda, cpu, mps"),),
    "model": ((NOTHING, MODEL), (_sd15, "for Flux, the model is SD1.5")),
    "ipadapter_flux": (
        (NOTHING, "The ipadapter_flux is nothing: connect the output of Load IPAdapter Flux Model"),
        (_for_sd15, "The ipadapter_flux is an IP-Adapter .base. for SD1.5, which is of another kind: connect the"),
    ),
    "image": PICTURES,
    "weight": _number("weight", "-1", "5"),
    "weight_start": _number("weight_start", "-1", "5"),
    "weight_end": _number("weight_end", "-1", "5"),
    "steps": (
        (0, "The steps is 0: it must be a number between 1 and 100"),
        (2.5, "The steps is 2.5: it must be a whole number"),
    ),
}
INSTANTX_SD3: Values = {
    **WINDOW,
    "provider": (("TPU", f"{PROVIDERS} cuda, cpu, mps"),),
    "model": ((NOTHING, MODEL), (_sd15, "for SD3.5 Large, the model is SD1.5")),
    "image_embed": (
        (NOTHING, "The input image_embed is nothing: connect the features of Encode Image Prompt"),
        (lambda _: sd3_features(23), "The image_embed do not fit"),
    ),
    "weight": _number("weight", "-1", "5"),
}
OF_ONE_NODE: dict[str, Values] = {  # id -> what only this node has of an input
    "IPAdapterSD3Loader": {"ipadapter": _file("ipadapter")},
    "ApplyIPAdapterSD3": {
        "ipadapter": (
            (NOTHING, "The ipadapter is nothing: connect the output of Load IPAdapter SD3 Model"),
            (_for_sd15, "The ipadapter is an IP-Adapter .base. for SD1.5, which is of another kind: connect the out"),
        )
    },
}
