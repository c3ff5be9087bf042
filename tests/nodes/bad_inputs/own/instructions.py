"""Bad inputs of instructions, and of the variants of adapters."""

import tiny

from image_prompt.nodes.encoding.encode import EncodeImagePrompt as Encode
from image_prompt.nodes.loading.load import LoadImagePromptAdapter as LoadAdapter

from ..made import clip_with, face_adapter, unet
from ..row import NOTHING, TEXT, Bad

ROWS = (
    Bad(
        Encode,
        {"instruction": "all"},
        "The input instruction is written, and no clip is connected: connect one, or empty",
    ),
    Bad(Encode, {"prompt": "a cat"}, "The input prompt is written, and no clip is connected: connect one, or empty it"),
    Bad(Encode, {"instruction": NOTHING}, "The input instruction is nothing: type a text, or connect a STRING"),
    Bad(Encode, {"clip": TEXT}, "The clip is the text 'a word': connect the CLIP output of Load Checkpoint"),
    Bad(
        Encode,
        {"clip": clip_with("clip_h")},
        "The clip is a FakeModel, and an instruction is read by CLIP-L: connect the CLIP",
    ),
    Bad(
        Encode,
        {"clip": clip_with("clip_l"), "prompt": "a cat"},
        "The prompt is written, and the instruction is empty: adapters that read the one read both",
    ),
    Bad(
        Encode,
        {"clip": clip_with("clip_l"), "instruction": "all", "adapter": lambda _: tiny.adapter(unet("SD1.5"))},
        r"\(base, SD1\.5\) reads no instruction, and one is written: empty it, or use an adapter of IP-Adapter-Ins",
    ),
    Bad(
        Encode,
        {"adapter": lambda _: face_adapter("instruct")},
        "reads an instruction, and none is given: connect clip to Encode Image Prompt, and write there",
    ),
    Bad(
        LoadAdapter,
        {"variant": "FaceID"},
        "The input variant is the text 'FaceID': choose one of auto, FaceID plus, FaceID plus v2",
    ),
    Bad(
        LoadAdapter,
        {"variant": "InstantID"},
        r"tiny\.safetensors is an IP-Adapter \(base\) by its shapes, so it cannot be Inst",
    ),
)
