"""Bad inputs of the nodes that save features and load them."""

from pathlib import Path

import torch
from comfy.clip_vision import Output

from image_prompt.nodes.encoding.saving.library import LoadImagePromptFeatures as LoadFeatures
from image_prompt.nodes.encoding.saving.library import SaveImagePromptFeatures as SaveFeatures

from ..made import another_encoder, changed, old_file
from ..row import DICT, LIST, NOTHING, TEXT, Bad

ROWS = (
    # Save Image Prompt Features
    Bad(
        SaveFeatures,
        {"features": NOTHING},
        r"The input features is nothing: connect the features of Encode Image Prompt\.",
    ),
    Bad(SaveFeatures, {"features": DICT}, "The input features is a dict with image_proj, ip_adapter: connect"),
    Bad(SaveFeatures, {"features": lambda _: Output()}, "The features hold nothing"),
    Bad(
        SaveFeatures,
        {"features": changed(image_embeds=lambda t: t / 0)},
        "The image_embeds hold NaN or infinity: encode the pic",
    ),
    Bad(SaveFeatures, {"name": NOTHING}, "The name is nothing: give the name of a file, such as cats/black cat"),
    Bad(SaveFeatures, {"name": LIST}, "The name is a list of 2: give the name of a file"),
    Bad(
        SaveFeatures,
        {"name": "../cat"},
        r"The name '\.\./cat' cannot be that of a file: '\.\.' begins with a dot\. Give letters",
    ),
    Bad(SaveFeatures, {"name": "cats/"}, "The name 'cats/' cannot be that of a file: a part of it is empty"),
    Bad(SaveFeatures, {"image": TEXT}, "The image is the text 'a word': connect an IMAGE output"),
    Bad(SaveFeatures, {"image": torch.zeros(1, 8, 8)}, r"The image is a tensor of shape \(1, 8, 8\): connect an IMAGE"),
    # Load Image Prompt Features
    Bad(
        LoadFeatures,
        {"features_name": NOTHING},
        "The features_name is nothing: give the name of a file in models/image_prompts",
    ),
    Bad(
        LoadFeatures,
        {"features_name": "cat.safetensors"},
        "^cat.safetensors is not in models/image_prompts, nor an .ipadpt file in input or output: choose a file that "
        "is there, or save one with Save Image Prompt Features",
    ),
    Bad(LoadFeatures, {"features_name": "../tiny.safetensors"}, "^../tiny.safetensors is not in models/image_prompts"),
    Bad(
        LoadFeatures,
        {"features_name": old_file({"image_proj": {"a": torch.zeros(1)}})},
        "^old.ipadpt: It holds image_proj.a, and",
    ),
    Bad(
        LoadFeatures,
        {"features_name": old_file({"a": 1, "b": "c"})},
        r"^old.ipadpt: It holds no tensors\. Expected are features",
    ),
    Bad(
        LoadFeatures,
        {"features_name": old_file((torch.zeros(1, 24),))},
        "^old.ipadpt holds a tuple.* Expected are features that",
    ),
    Bad(
        LoadFeatures,
        {"features_name": old_file(Path("x"))},
        "^old.ipadpt is a pickle that holds more than tensors; .*It asks for",
    ),
    Bad(
        LoadFeatures,
        {"clip_vision": DICT},
        "The clip_vision is a dict with image_proj, ip_adapter: connect Load Image Encoder",
    ),
    Bad(
        LoadFeatures,
        {"clip_vision": another_encoder},
        "^The features in tiny_00001_.safetensors were made by tiny CLIP, and the clip_vision is CLIP ViT-H/14: conn",
    ),
)
