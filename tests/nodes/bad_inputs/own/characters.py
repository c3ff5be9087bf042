"""Bad inputs of Encode Character Prompt."""

import character_tools
import tiny
import torch
from comfy.clip_vision import ClipVisionModel

from image_prompt.nodes.encoding.encode_character import EncodeCharacterPrompt as EncodeCharacter

from ..made import unet
from ..row import LIST, NOTHING, Bad

ROWS = (
    Bad(
        EncodeCharacter,
        {"siglip": NOTHING},
        r"The siglip is nothing: connect Load Image Encoder with SigLIP so400m-384\.",
    ),
    Bad(
        EncodeCharacter,
        {"siglip": lambda _: ClipVisionModel.__new__(ClipVisionModel)},
        "The siglip is from a loader of core, which",
    ),
    Bad(
        EncodeCharacter,
        {"siglip": lambda _: tiny.encoder()},
        "The siglip is tiny CLIP, with 2 layers: connect .* SigLIP so400m-384",
    ),
    Bad(
        EncodeCharacter,
        {"dino": lambda _: character_tools.siglip()},
        "The dino is tiny SigLIP, with 27 layers: connect .* DINOv2 giant",
    ),
    Bad(
        EncodeCharacter,
        {"dino": lambda _: character_tools.dino(224)},
        "The dino reads pictures of 224 pixels, and here it has to read 384: choose the image_size 384 in Load Image",
    ),
    Bad(
        EncodeCharacter,
        {"dino": lambda _: character_tools.dino(patch=96)},
        "tiny SigLIP cuts a picture into 3x3 patches, and .* into 4x4",
    ),
    Bad(EncodeCharacter, {"image": LIST}, "The image is a list of 2: connect an IMAGE output"),
    Bad(EncodeCharacter, {"crop": "face"}, "The input crop is the text 'face': choose one of center, top"),
    Bad(
        EncodeCharacter,
        {"crop": "mask"},
        "The crop is 'mask', and no mask is connected: connect one, or choose another crop",
    ),
    Bad(
        EncodeCharacter,
        {"background": "red"},
        "The input background is the text 'red': choose one of black, grey, white",
    ),
    Bad(
        EncodeCharacter,
        {"mask": torch.ones(1, 4, 4)},
        "The mask is 4x4 pixels large, and the image 8x8: connect a mask of the same",
    ),
    Bad(
        EncodeCharacter,
        {"mask": torch.full((1, 8, 8), 0.4)},
        "The mask is black, so that nothing of the picture counts",
    ),
    Bad(
        EncodeCharacter,
        {"mask": torch.ones(3, 8, 8)},
        "There are 3 masks for 1 pictures: give one mask for all, or one for each",
    ),
    Bad(
        EncodeCharacter,
        {"adapter": lambda _: tiny.adapter(unet("SD1.5"))},
        "reads image_embeds, which this node does not make: use Encode Image Prompt",
    ),
)
