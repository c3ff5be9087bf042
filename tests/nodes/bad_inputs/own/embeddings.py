"""Bad inputs of Embed by Vision-Language Model."""

import torch
from core_clips import core_clip

from image_prompt.nodes.embeddings.embed_vlm import EmbedByVisionLanguageModel as EmbedVLM

from ..row import LIST, NOTHING, TEXT, Bad

ROWS = (
    Bad(
        EmbedVLM,
        {"clip": TEXT},
        "The clip is the text 'a word': load a Qwen3-VL of 4B or 8B, such as Qwen3-VL-Embedding-8B",
    ),
    Bad(
        EmbedVLM,
        {"clip": lambda _: core_clip("SD1.5")},
        "The clip is a SD1ClipModel, which holds no Qwen3-VL. Load a Qwen3",
    ),
    Bad(
        EmbedVLM, {"image": NOTHING, "text": " "}, "There is neither a picture nor a text: connect image, or type what"
    ),
    Bad(EmbedVLM, {"image": torch.zeros(8, 8)}, r"The image is a tensor of shape \(8, 8\): connect an IMAGE output"),
    Bad(
        EmbedVLM,
        {"image": torch.full((1, 32, 32, 3), float("nan"))},
        "The picture holds NaN or infinity. Check the node",
    ),
    Bad(
        EmbedVLM,
        {"image": torch.zeros(2, 1, 300, 3)},
        "Picture 1 of 2: A picture of 300x1 pixels is too narrow: its long side may be 200 times its short one",
    ),
    Bad(EmbedVLM, {"text": LIST}, "The input text is a list of 2: type a text, or connect a STRING"),
    Bad(EmbedVLM, {"instruction": NOTHING}, "The input instruction is nothing: type a text, or connect a STRING"),
    Bad(EmbedVLM, {"dimensions": 63}, "The model gives 64 to 80 numbers of a vector, not 63"),
    Bad(EmbedVLM, {"dimensions": 81}, "The model gives 64 to 80 numbers of a vector, not 81"),
    Bad(EmbedVLM, {"dimensions": -1}, "The input dimensions is -1: it must be a number between 0 and 8192"),
    Bad(EmbedVLM, {"max_pixels": 1023}, "The input max_pixels is 1023: it must be a number between 4096 and "),
    Bad(
        EmbedVLM,
        {"max_pixels": TEXT},
        "The input max_pixels is the text 'a word': it must be a number between 4096 and ",
    ),
    Bad(EmbedVLM, {"pooling": "cls"}, "The input pooling is the text 'cls': choose one of last, mean"),
)
