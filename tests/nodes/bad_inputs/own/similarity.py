"""Bad inputs of the nodes that make embeddings, and compare them."""

import torch
from comfy.clip_vision import Output

from image_prompt.nodes.embeddings.embed_features import EmbedFeatures
from image_prompt.nodes.embeddings.embed_text import EmbedText
from image_prompt.nodes.embeddings.rank import RankPictures as Rank
from image_prompt.nodes.embeddings.similarity import SimilarityOfEmbeddings as Similarity
from image_prompt.nodes.embeddings.unique import KeepUniquePictures as Unique

from ..made import clip_with, embedded, encoder
from ..row import DICT, LIST, NOT_A_NUMBER, NOTHING, TEXT, Bad

ADVICE = "connect the output of Embed Text or Embed Image Features"
OTHER_SPACES = "tiny CLIP .*tiny CLIP"

ROWS = (
    # Embed Text
    Bad(EmbedText, {"text": LIST}, "The input text is a list of 2: type a text, or connect a STRING"),
    Bad(EmbedText, {"text": " \n"}, "The text is empty: type what a picture shows, such as a red bicycle"),
    Bad(EmbedText, {"clip_vision": TEXT}, "The clip_vision is the text 'a word': core's loader does not keep the file"),
    Bad(EmbedText, {"clip_vision": NOTHING}, "Nothing is connected to clip_vision and clip: connect one of them"),
    Bad(EmbedText, {"clip": DICT}, "Both are connected to clip_vision and clip: connect one of them"),
    Bad(EmbedText, {"clip_vision": NOTHING, "clip": DICT}, "The clip is a dict with image_proj, ip_adapter: "),
    Bad(
        EmbedText,
        {"clip_vision": NOTHING, "clip": clip_with("other")},
        "The clip is a FakeModel, which holds no CLIP, so",
    ),
    Bad(EmbedText, {"template": NOTHING}, "The input template is nothing: type a text, or connect a STRING"),
    Bad(EmbedText, {"template": "a photo"}, "The template is 'a photo': write {} where the text goes"),
    Bad(EmbedText, {"texts": "each"}, "The input texts is the text 'each': choose one of one text, one in each line"),
    # Embed Image Features
    Bad(EmbedFeatures, {"features": TEXT}, "The input features is the text 'a word': connect the features of Encode"),
    Bad(EmbedFeatures, {"features": lambda _: Output()}, "image_embeds"),
    Bad(EmbedFeatures, {"clip_vision": LIST}, "The clip_vision is a list of 2: connect Load Image Encoder"),
    Bad(EmbedFeatures, {"clip_vision": lambda _: encoder(16)}, f"The clip_vision .*{OTHER_SPACES}"),
    # Similarity of Embeddings
    Bad(Similarity, {"a": NOTHING}, f"The input a is nothing: {ADVICE}"),
    Bad(Similarity, {"b": torch.zeros(1, 24)}, rf"The input b is a tensor of shape \(1, 24\): {ADVICE}"),
    Bad(Similarity, {"b": lambda _: embedded(16)}, OTHER_SPACES),
    # Rank Pictures
    Bad(Rank, {"images": torch.zeros(8, 8)}, r"The input images is a tensor of shape \(8, 8\): connect an IMAGE"),
    Bad(Rank, {"images": torch.zeros(0, 8, 8, 3)}, "connect an IMAGE output|empty picture or batch"),
    Bad(Rank, {"images": torch.full((1, 8, 8, 3), NOT_A_NUMBER)}, "The picture holds NaN or infinity"),
    Bad(Rank, {"reference": DICT}, f"The input reference is a dict with image_proj, ip_adapter: {ADVICE}"),
    Bad(Rank, {"reference": lambda _: embedded(16)}, f"The reference was encoded by {OTHER_SPACES}"),
    Bad(Rank, {"clip_vision": NOTHING}, "The clip_vision is nothing: connect Load Image Encoder"),
    Bad(Rank, {"keep": 0}, "The input keep is 0: it must be a number between 1 and 4096"),
    Bad(Rank, {"keep": 1.5}, r"The input keep is 1\.5: it must be a whole number"),
    Bad(Rank, {"order": "middle"}, "The input order is the text 'middle': choose one of best, worst"),
    Bad(Rank, {"minimum": NOT_A_NUMBER}, "The minimum is nan: it must be a number between -1 and 1"),
    Bad(
        Rank,
        {"minimum": 1.0, "images": torch.rand(2, 8, 8, 3)},
        r"None of 2 pictures has a score of 1 or more: the best is .* Lower the minimum .*, or change the reference",
    ),
    Bad(Rank, {"references": "sum"}, "The input references is the text 'sum': choose one of average, nearest"),
    Bad(Rank, {"crop": LIST}, "The input crop is a list of 2: choose one of center, top"),
    # Keep Unique Pictures
    Bad(Unique, {"images": LIST}, "The input images is a list of 2: connect an IMAGE output"),
    Bad(Unique, {"images": torch.zeros(0, 8, 8, 3)}, "connect an IMAGE output|empty picture or batch"),
    Bad(Unique, {"clip_vision": TEXT}, "The clip_vision is the text 'a word': connect Load Image Encoder"),
    Bad(Unique, {"alike": "twins"}, "The input alike is the text 'twins': choose one of same picture, similar"),
    Bad(Unique, {"threshold": 1.01}, r"The threshold is 1\.01: it must be a number between 0 and 1"),
    Bad(Unique, {"crop": "tiles"}, "The input crop is the text 'tiles': choose one of center, top"),
)
