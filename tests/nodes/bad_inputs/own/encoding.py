"""Bad inputs of Encode Image Prompt."""

import torch

from image_prompt.nodes.encoding.encode import EncodeImagePrompt as Encode

from ..made import dino, unet
from ..row import DICT, LIST, NOT_A_NUMBER, NOTHING, TEXT, Bad

ROWS = (
    Bad(Encode, {"clip_vision": NOTHING}, r"The clip_vision is nothing: connect Load Image Encoder\."),
    Bad(Encode, {"clip_vision": TEXT}, "The clip_vision is the text 'a word': connect Load Image Encoder"),
    Bad(Encode, {"clip_vision": DICT}, "The clip_vision is a dict with image_proj, ip_adapter: connect"),
    Bad(
        Encode,
        {"clip_vision": lambda _: unet("SD1.5")},
        "The clip_vision is an object of the type ModelPatcher: connect",
    ),
    Bad(Encode, {"clip_vision": dino}, "is a dinov3 encoder, which cannot encode image prompts: load a CLIP or SigLIP"),
    Bad(Encode, {"image": NOTHING}, "The image is nothing: connect an IMAGE output, which is .pictures, height"),
    Bad(Encode, {"image": [torch.zeros(8, 8, 3)]}, "The image is a list of 1: connect an IMAGE output"),
    Bad(Encode, {"image": {"samples": torch.zeros(1, 4, 8, 8)}}, "The image is a dict with samples: connect an IMAGE"),
    Bad(Encode, {"image": torch.zeros(1, 8, 8)}, r"The image is a tensor of shape \(1, 8, 8\): connect an IMAGE"),
    Bad(Encode, {"image": torch.zeros(1, 3, 8, 8)}, r"tensor of shape \(1, 3, 8, 8\): connect .*1 to 4 channels"),
    Bad(Encode, {"image": torch.zeros(0, 8, 8, 3)}, r"empty picture or batch, shape \(0, 8, 8, 3\): give at least one"),
    Bad(Encode, {"image": torch.full((1, 8, 8, 3), float("nan"))}, "The picture holds NaN or infinity. Check the node"),
    Bad(Encode, {"crop": "middle"}, "The input crop is the text 'middle': choose one of center, top"),
    Bad(Encode, {"crop": LIST}, "The input crop is a list of 2: choose one of"),
    Bad(Encode, {"background": "red"}, "The input background is the text 'red': choose one of black, grey, white"),
    Bad(Encode, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect the output of Load IP-"),
    Bad(Encode, {"crop": "mask"}, "The crop is 'mask', and no mask is connected: connect one, or choose another crop"),
    Bad(Encode, {"mask": LIST}, "The mask is a list of 2: connect a MASK output"),
    Bad(
        Encode,
        {"mask": torch.ones(1, 64, 64)},
        r"mask is 64x64 pixels large, and the image 8x8: .*Load Image gives one of",
    ),
    Bad(
        Encode,
        {"mask": torch.ones(2, 8, 8)},
        "There are 2 masks for 1 pictures: give one mask for all, or one for each",
    ),
    Bad(
        Encode,
        {"mask": torch.zeros(1, 8, 8)},
        "The mask is black, so that nothing of the picture counts: make it white",
    ),
    Bad(Encode, {"crop": "mask", "mask": torch.full((1, 8, 8), 0.2)}, "nothing to crop to: its brightest pixel is 0.2"),
    Bad(
        Encode,
        {"crop": "mask", "mask": torch.ones(1, 8, 8), "margin": -1.0},
        "margin around the mask is -1.0: give a n",
    ),
    Bad(
        Encode,
        {"crop": "box", "box": "0.1, 0.2"},
        "The box is '0.1, 0.2': give left, top and side, such as 0.25, 0.1, 0.5",
    ),
    Bad(Encode, {"crop": "box", "box": "0, 0, 5"}, "The box is '0, 0, 5': give left, top and side"),
    Bad(
        Encode,
        {"crop": "box", "box": "-0.4, 0, 0.5", "image": torch.zeros(1, 8, 32, 3)},
        "The box -0.4, 0, 0.5 lies beside the picture of 32x8 pixels: give left",
    ),
    Bad(Encode, {"crop": "box", "box": LIST}, "The input box is a list of 2: type a text, or connect a STRING"),
    Bad(Encode, {"outside": "black"}, "The input outside is the text 'black': choose one of background, picture"),
    Bad(Encode, {"crop": "tiles", "tiles": 9}, "tiles along the short side is 9: give a whole number from 1 to 8"),
    Bad(Encode, {"crop": "tiles", "tiles": TEXT}, "tiles along the short side is 'a word': give a whole number"),
    Bad(
        Encode,
        {"crop": "tiles", "image": torch.zeros(1, 1, 99, 3)},
        "picture of 99x1 pixels has 99 tiles .*ask for fewer",
    ),
    # also where the crop reads none of these
    Bad(Encode, {"tiles": 9}, "tiles along the short side is 9: give a whole number from 1 to 8"),
    Bad(Encode, {"margin": NOT_A_NUMBER}, "margin around the mask is nan: give a number of at least 0"),
    Bad(Encode, {"box": LIST}, "The input box is a list of 2: type a text, or connect a STRING"),
)
