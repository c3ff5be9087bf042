"""Bad inputs of the nodes of IPAdapter_plus, by the names of inputs."""

from collections.abc import Mapping
from typing import Any

import face_tools
import torch

from ..row import DICT, IMAGE, LIST, NOT_A_NUMBER, NOTHING, RANGE, TEXT
from .good import WIDTH

Values = Mapping[str, tuple[tuple[Any, str], ...]]  # of an input -> bad values, in every node that has it

IPADAPTER_PLUS: Values = {
    "model": ((NOTHING, "The model is nothing: connect a SD1.5"), (TEXT, "The model is the text 'a word': connect")),
    "ipadapter": (
        (NOTHING, "The ipadapter is nothing: connect"),
        (DICT, "The ipadapter is a dict with image_proj, ip_adapter: connect"),
    ),
    "image": (
        (NOTHING, f"The image is nothing: {IMAGE}"),
        (torch.zeros(8, 8, 3), f"shape .8, 8, 3.: {IMAGE}"),
        (torch.zeros(0, 8, 8, 3), "image .*without pictures|image has the shape .0, 8, 8, 3., which holds no picture"),
    ),
    "image_style": ((torch.zeros(8, 8), f"The image_style is a tensor of shape .8, 8.: {IMAGE}"),),
    "image_composition": ((torch.zeros(8, 8), f"The image_composition is a tensor of shape .8, 8.: {IMAGE}"),),
    "image_negative": (
        (TEXT, f"The image_negative is the text 'a word': {IMAGE}"),
        (torch.zeros(1, 0, 8, 3), "The image_negative has the shape .1, 0, 8, 3., which holds no picture"),
        (torch.full((1, 8, 8, 3), NOT_A_NUMBER), "The image_negative holds NaN or infinite numbers"),
    ),
    "attn_mask": (
        (TEXT, "The attn_mask is the text 'a word': connect a MASK"),
        (torch.ones(1, 1, 8, 8), "The attn_mask is a tensor of shape .1, 1, 8, 8.: connect a MASK"),
        (torch.full((1, 8, 8), NOT_A_NUMBER), "The attn_mask holds NaN or infinite numbers"),
    ),
    "clip_vision": ((TEXT, "The clip_vision is the text 'a word': connect"),),
    "weight": (
        (NOT_A_NUMBER, "The weight is nan: give a finite number"),
        (10**400, "The weight is inf: give a finite number"),
        ([], "weight is a list of 0: give"),
        ([10**400], "weight is a list of 1: give"),
    ),
    "weight_style": ((NOT_A_NUMBER, "The weight_style is nan: give a finite number"),),
    "weight_composition": (([1.0, None], "The weight_composition is a list of 2: give a finite number"),),
    "style_boost": ((NOT_A_NUMBER, "boost is nan: give a finite number"),),
    "composition_boost": ((TEXT, "boost is the text 'a word': give a finite number"),),
    "start_at": ((TEXT, f"The start_at is the text 'a word': it {RANGE}"),),
    "end_at": ((NOT_A_NUMBER, f"The end_at is nan: it {RANGE}"), (10**400, f"The end_at is inf: it {RANGE}")),
    **{
        name: (
            ("no", f"The {name} is the text 'no': it must be true or false"),
            (torch.zeros(2), f"The {name} is a te"),
        )
        for name in ("expand_style", "pad_around", "unfold_batch", "ipadapter_plus", "faceid_v2")
    },
    "combine_embeds": (("sum", "combine_embeds is the text 'sum': choose one of concat, add"),),
    "embeds_scaling": (("K", r"embeds_scaling is the text 'K': choose one of V only, K\+V"),),
    "sharpening": ((2.0, f"The sharpening is 2.0: it {RANGE}"),),
    "layer_weights": (
        ("0:1; 1:2", "The layer_weights are the text '0:1; 1:2': write the number of a block, a colon"),
        ("0:nan", "The layer_weights are the text '0:nan': write"),
    ),
    "enhance_tiles": ((NOTHING, "The enhance_tiles is nothing: it must be a number"),),
    "enhance_ratio": ((NOT_A_NUMBER, "The enhance_ratio is nan: it must be a number"),),
    "ipadapter_params": (
        (TEXT, "The ipadapter_params is the text 'a word': connect"),
        (DICT, "The ipadapter_params do not hold one entry for each region: connect"),
    ),
    "pos_embed": ((NOTHING, "The pos_embed is nothing: connect"), (torch.rand(2, 16), "25 wide")),
    "neg_embed": ((torch.rand(2, 16), "25 wide"),),
    "embed1": ((NOTHING, "The embed1 is nothing: connect the EMBEDS"),),
    "embed2": ((torch.rand(2, 16), "The embed2 has the shape .2, 16., and embed1 .2, 25., which cannot be combined"),),
    "embeds": ((NOTHING, "embeds is nothing: c"),),
    "params_1": ((TEXT, "The params_1 is the text 'a word': connect the IPADAPTER_PARAMS"),),
    "params_2": ((DICT, "The params_2 do not hold one entry for each region: connect"),),
    "weights_strategy": (
        (NOTHING, "The weights_strategy is nothing: connect"),
        (DICT, "The weights_strategy is a dict with image_proj, ip_adapter: connect"),
        ({"frames": 1.5}, "The frames is 1.5: it must be a whole number"),
    ),
    "weights": (("1, x", "The weights are '1, x': write numbers"), (1.0, "The input weights is 1.0: write numbers")),
    "timing": (("reverse_in_out", "timing is the text 'reverse_in_out': choose one of custom, linear"),),
    "frames": ((-1, "The frames is -1: it must be a number"),),
    "weights_1": ((NOT_A_NUMBER, "The weights_1 is nan: give a finite number"),),
    "prompt": ((NOTHING, "The prompt is nothing: write a line for each picture"),),
    "image_weight": ((NOT_A_NUMBER, "The image_weight is nan: give a finite number"),),
    "prompt_weight": ((NOT_A_NUMBER, "The prompt_weight is nan: it must be a number"),),
    "interpolation": (("SINC", "interpolation is the text 'SINC': choose one of LANCZOS"),),
    "crop_position": (("middle", "crop_position is the text 'middle': choose one of"),),
    "type": (("loud", "type is the text 'loud': choose one of fade"),),
    "strength": ((NOT_A_NUMBER, f"The strength is nan: it {RANGE}"),),
    "blur": ((-1, "The blur is -1: it must be a number"),),
    "image_optional": ((TEXT, f"The image_optional is the text 'a word': {IMAGE}"),),
    "noise": ((2.0, f"The noise is 2.0: it {RANGE}"),),
    "image_1": ((NOTHING, f"The image_1 is nothing: {IMAGE}"),),
    "weight_1": ((NOT_A_NUMBER, "The weight_1 is nan: give a finite number"),),
    **{
        f"weight_{number}": ((TEXT, f"The weight_{number} is the text 'a word': give a finite"),)
        for number in (2, 3, 4)
    },
    "weight_type": (
        ("loud", "The input weight_type is the text 'loud': choose one of"),
        (LIST, "The input weight_type is a list of 2: choose one of"),
    ),
    "preset": (("HUGE", "preset"),),
    "ipadapter_file": (
        ("x.safetensors", "x.safetensors is not in models/ipadapter: choose a file"),
        (NOTHING, "The adapter is nothing: give the name of a file in models/ipadapter"),
    ),
    "provider": (("TPU", "provider is the text 'TPU': choose one of CPU"),),
    "model_name": (("buffalo_s", "model_name is the text 'buffalo_s': choose one of buffalo_l"),),
    "filename_prefix": (("../cat", r"The filename_prefix is the text '\.\./cat': give the name of a file"),),
    "insightface": (
        (NOTHING, "has an adapter that reads faces, and nothing that finds them: use IPAdapter Unified Loader Face"),
        (TEXT, "The insightface is the text 'a word': connect the output of IPAdapter InsightFace Loader"),
        (lambda _: face_tools.Analysis(), "No face was found in the image"),
    ),
    "weight_faceidv2": (
        (TEXT, "The weight_faceidv2 is the text 'a word': give a finite number"),
        (NOT_A_NUMBER, "The weight_faceidv2 is nan: give a finite number"),
    ),
    "weight_v2": ((NOT_A_NUMBER, "The weight_v2 is nan: give a finite number"),),
    "weight_kolors": ((TEXT, "The weight_kolors is the text 'a word': it must be a number between -1000 and 1000"),),
    **{f"image_{number}": ((LIST, f"The image_{number} is a list of 2: {IMAGE}"),) for number in (2, 3, 4)},
    **{f"params_{number}": ((TEXT, f"The params_{number} is the text 'a word': connect"),) for number in (3, 4, 5)},
    **{
        f"embed{number}": (
            (TEXT, f"The embed{number} is the text 'a word': connect the EMBEDS of IPAdapter Encoder"),
            (torch.zeros(0, WIDTH), f"The embed{number} is a tensor of shape .0, 25., which holds no features"),
        )
        for number in (3, 4, 5)
    },
    **{
        name: (
            (-1, f"The {name} is -1: it must be a number between 0 and 9999"),
            (1.5, f"The {name} is 1.5: it must be a whole number"),
        )
        for name in ("start_frame", "end_frame", "add_starting_frames", "add_ending_frames")
    },
    "encode_batch_size": (
        (-1, "The encode_batch_size is -1: it must be a number between 0 and"),
        (TEXT, "The encode_batch_size is the text 'a word': it must be a number between 0 and"),
    ),
    "positive": ((TEXT, "The positive is the text 'a word': connect a CONDITIONING"),),
    "negative": ((LIST, "The negative is a list of 2: connect a CONDITIONING"),),
    "mask": (
        (TEXT, "The mask is the text 'a word': connect a MASK"),
        (torch.full((1, 8, 8), NOT_A_NUMBER), "The mask holds NaN or infinite numbers"),
    ),
    "lora_strength": (
        (NOT_A_NUMBER, "The lora_strength is nan: it must be a number between -100 and 100"),
        (101, "The lora_strength is 101: it must be a number between -100 and 100"),
    ),
    "method": (("sum", "method is the text 'sum': choose one of"),),
    "weights_2": ((NOT_A_NUMBER, "The weights_2 is nan: give a finite number"),),
}
