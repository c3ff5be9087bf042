"""Bad inputs of the nodes for faces."""

import face_tools
import tiny
import torch

from image_prompt.nodes.applying.apply import ApplyImagePrompt as Apply
from image_prompt.nodes.applying.controlnet import ApplyInstantIDControlNet as ControlNet
from image_prompt.nodes.compat.middle import IPAdapterMiddleBlock as Middle
from image_prompt.nodes.encoding.encode import EncodeImagePrompt as Encode
from image_prompt.nodes.encoding.faces.encode_face import EncodeFacePrompt as EncodeFace
from image_prompt.nodes.loading.face_analyser import LoadFaceAnalyser as LoadAnalyser
from image_prompt.nodes.loading.face_options import FaceAdapterOptions as FaceOptions

from ..made import face_adapter, face_features, features_of, pulid_flux, unet
from ..row import DICT, LIST, NOTHING, TEXT, Bad

ROWS = (
    Bad(
        LoadAnalyser,
        {"face_pack": NOTHING},
        "The face_pack is nothing: give the name of a face pack, such as buffalo_l",
    ),
    Bad(
        LoadAnalyser,
        {"face_pack": "antelopev2"},
        "antelopev2 is not in models/insightface. Get antelopev2.zip .* licence non-com",
    ),
    Bad(LoadAnalyser, {"provider": "Abacus"}, "The input provider is the text 'Abacus': choose one of auto, CPU"),
    Bad(EncodeFace, {"insightface": NOTHING}, r"The insightface is nothing: connect Load Face Analyser\."),
    Bad(
        EncodeFace,
        {"insightface": DICT},
        "The insightface is a dict with image_proj, ip_adapter: connect Load Face Analyser",
    ),
    Bad(EncodeFace, {"image": NOTHING}, "The image is nothing: connect an IMAGE output"),
    Bad(
        EncodeFace,
        {"insightface": face_tools.Analysis()},
        "No face was found in pictures 1, 2 of 2, looked at in squares of 640, 576, 512, 448, 384, 320, 256 pixels",
    ),
    Bad(
        EncodeFace,
        {"insightface": face_tools.Analysis(), "image": face_tools.pictures()},
        "No face was found in the picture, looked at in squares of 640, .* which the face is larger",
    ),
    Bad(
        EncodeFace,
        {"choose": "best"},
        "The input choose is the text 'best': choose one of largest, by index, all, left to",
    ),
    Bad(
        EncodeFace,
        {"choose": "by index", "index": 2},
        "Picture 1: Face number 2 was asked for, and 2 faces were found: give an index from 0 to 1, where 0 is the",
    ),
    Bad(EncodeFace, {"choose": "by index", "index": 0.5}, "The index is 0.5: give a whole number, 0 or more"),
    Bad(EncodeFace, {"index": 1}, "The index is 1, and choose is 'largest', which reads none: choose 'by index', or 0"),
    Bad(EncodeFace, {"combine": "sum"}, "The input combine is the text 'sum': choose one of each, average"),
    Bad(
        EncodeFace,
        {"mask": torch.ones(1, 8, 8)},
        "The mask is 8x8 pixels large, and the image 160x112: connect a mask of the",
    ),
    Bad(
        EncodeFace, {"mask": torch.ones(3, 112, 160)}, "There are 3 masks for 2 pictures: connect one, or one for each"
    ),
    Bad(EncodeFace, {"clip_vision": TEXT}, "The clip_vision is the text 'a word': connect Load Image Encoder"),
    Bad(
        EncodeFace,
        {"adapter": lambda _: face_adapter("faceid-plus")},
        "An image encoder makes face_penultimate, and none is connected: connect Load Image Encoder with an encoder "
        r"whose penultimate is 32 wide to clip_vision\.$",
    ),
    Bad(
        EncodeFace,
        {"adapter": lambda _: face_adapter("pulid", "SDXL"), "clip_vision": lambda _: tiny.encoder()},
        "EVA02-CLIP-L-336 makes face_eva_embeds, and the clip_vision is tiny CLIP: connect Load Image Encoder with EVA",
    ),
    Bad(
        EncodeFace,
        {"adapter": lambda _: tiny.adapter(unet("SD1.5"))},
        r"\(base, SD1.5\) reads image_embeds, which faces alone do not give: use Encode Image Prompt\.",
    ),
    Bad(
        Encode,
        {"adapter": lambda _: face_adapter("faceid")},
        r"\(FaceID, SD1.5\) reads face_embeds, which this node does not make: use Encode Face Prompt\.",
    ),
    Bad(
        Apply,
        {"adapter": lambda _: face_adapter("faceid")},
        r"features do not have: use Encode Face Prompt, with this adapter connected to it\.$",
    ),
    Bad(
        Apply,
        {"features": lambda _: face_features()},
        "reads image_embeds, which the features do not have: they are of a face; encode the image with Enc",
    ),
    Bad(FaceOptions, {"adapter": NOTHING}, "The adapter is nothing: connect the output of Load IP-Adapter"),
    Bad(FaceOptions, {"lora_strength": 11.0}, r"The lora_strength is 11\.0: it must be a number between -10 and 10"),
    Bad(FaceOptions, {"shortcut": -1.0}, r"The shortcut is -1\.0: it must be a number between 0 and 5"),
    Bad(
        FaceOptions,
        {"method": "free"},
        "The input method is the text 'free': choose one of as trained, fidelity, style, neutral",
    ),
    Bad(
        FaceOptions,
        {"adapter": pulid_flux, "method": "style"},
        r"\(PuLID, Flux\) has no method, which is for PuLID for SDXL",
    ),
    Bad(
        FaceOptions,
        {"method": "style"},
        r"\(FaceID, SD1\.5\) has no method, which is for PuLID for SDXL: leave it as it was",
    ),
    Bad(
        FaceOptions,
        {"shortcut": 0.5},
        r"\(FaceID, SD1\.5\) has no shortcut, which is for FaceID plus v2 and Kolors FaceID plus",
    ),
    Bad(
        FaceOptions,
        {"adapter": lambda _: tiny.adapter(unet("SD1.5")), "lora_strength": 0.5},
        r"\(base, SD1\.5\) has no lora_strength, which is for adapters that were trained together with a LoRA: leave",
    ),
    Bad(ControlNet, {"positive": TEXT}, "The positive is the text 'a word': connect a CONDITIONING"),
    Bad(ControlNet, {"negative": NOTHING}, "The negative is nothing: connect a CONDITIONING"),
    Bad(
        ControlNet, {"control_net": TEXT}, "The control_net is the text 'a word': connect core's Load ControlNet Model"
    ),
    Bad(ControlNet, {"key_points": LIST}, "The key_points is a list of 2: connect an IMAGE output"),
    Bad(
        ControlNet,
        {"adapter": lambda _: face_adapter("faceid", "SDXL")},
        r"\(FaceID, SDXL\) is no InstantID adapter, and its tokens mean nothing to InstantID's ControlNet: load Inst",
    ),
    Bad(
        ControlNet,
        {"features": lambda _: features_of()},
        "reads face_embeds_raw, which the features do not have: use Encode Face Prompt",
    ),
    Bad(ControlNet, {"strength": 11.0}, r"The strength is 11\.0: it must be a number between 0 and 10"),
    Bad(ControlNet, {"start": 0.6, "end": 0.5}, "start 0.6 lies after end 0.5: start must not be greater"),
    Bad(ControlNet, {"mask": torch.zeros(8, 8)}, r"The mask is a tensor of shape \(8, 8\): connect a MASK output"),
    Bad(ControlNet, {"vae": TEXT}, "The vae is the text 'a word': connect the VAE of Load Checkpoint, or nothing"),
    Bad(Middle, {"ipadapter": NOTHING}, "The ipadapter is nothing: connect the output of IPAdapter Unified Loader"),
    Bad(Middle, {"ipadapter": DICT}, "The ipadapter is a dict with image_proj, ip_adapter: connect the output of IPA"),
    Bad(Middle, {"on": "no"}, "The on is the text 'no': give true or false"),
)
