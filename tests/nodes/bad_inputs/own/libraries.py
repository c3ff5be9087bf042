"""Bad inputs of the nodes for reference libraries."""

import torch

from image_prompt.nodes.embeddings.pictures import embed_pictures
from image_prompt.nodes.reference_library.add import AddToLibrary as Add
from image_prompt.nodes.reference_library.advise import AdviseFromLibrary as Advise
from image_prompt.nodes.reference_library.nearest import NearestReference as Nearest
from image_prompt.nodes.reference_library.rate import RateInLibrary as Rate

from ..made import embedded, encoder
from ..row import DICT, ENDLESS, LIST, NOT_A_NUMBER, NOTHING, TEXT, Bad

CHOOSE = r"choose one that is there \(cats\), or make one with Add to Reference Library"
ADVICE = "connect the output of Embed Text or Embed Image Features"

ROWS = (
    *(Bad(node, {"library": "dogs"}, f"The library is the text 'dogs': {CHOOSE}") for node in (Nearest, Rate, Advise)),
    *(Bad(node, {"library": NOTHING}, f"The library is nothing: {CHOOSE}") for node in (Nearest, Rate, Advise)),
    Bad(Nearest, {"library": "../cats"}, "The library is the text '../cats': choose"),
    # Nearest References
    Bad(Nearest, {"query": TEXT}, f"The input query is the text 'a word': {ADVICE}"),
    Bad(Nearest, {"query": torch.zeros(1, 24)}, r"The input query is a tensor of shape \(1, 24\): connect"),
    Bad(Nearest, {"query": NOTHING}, "There is nothing to search: connect Embed Text to query, or name a picture"),
    Bad(Nearest, {"query": lambda _: embedded(16)}, r"(?s)tiny CLIP .*16.*tiny CLIP .*24|24.*16"),
    Bad(Nearest, {"k": 0}, "The k is 0: it must be a number between 1 and 64"),
    Bad(Nearest, {"k": 1.5}, r"The k is 1\.5: it must be a whole number"),
    Bad(Nearest, {"k": ENDLESS}, "The k is inf: it must be a number between 1 and 64"),
    Bad(Nearest, {"minimum": NOT_A_NUMBER}, "The minimum is nan: it must be a number between -1 and 1"),
    Bad(
        Nearest,
        {"minimum": 1.0, "query": lambda _: embed_pictures(encoder(), torch.zeros(1, 8, 8, 3))},
        "The library cats has no picture with a cosine of 1 or more: choose a lower minimum",
    ),
    Bad(Nearest, {"folder": LIST}, "The folder is a list of 2: give the path of a folder in the library, or nothing"),
    Bad(Nearest, {"folder": "dogs"}, "The library cats has no picture in the folder 'dogs': choose .* another folder"),
    Bad(Nearest, {"picture": NOTHING}, "The picture is nothing: give the path of a picture in the library, or nothing"),
    Bad(Nearest, {"picture": "a.png"}, "A query is connected and a picture is named: give one of both"),
    Bad(Nearest, {"picture": "a.png", "query": NOTHING}, "The library cats holds no picture 'a.png'"),
    Bad(Nearest, {"prefer_rated": torch.zeros(0)}, r"The prefer_rated is a tensor of shape \(0,\): give true or false"),
    Bad(Nearest, {"prefer_rated": "no"}, "The prefer_rated is the text 'no': give true or false"),
    Bad(Nearest, {"clip_vision": DICT}, "The clip_vision is a dict with .*: connect Load Image Encoder"),
    Bad(
        Nearest, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect the output of Load IP-"
    ),
    Bad(Nearest, {"crop": "middle"}, "The input crop is the text 'middle': choose one of center, top"),
    Bad(Nearest, {"longest": 63}, "The longest is 63: it must be a number between 64 and 4096"),
    Bad(Nearest, {"longest": 64.5}, r"The longest is 64\.5: it must be a whole number"),
    # Add to Reference Library
    Bad(Add, {"library": NOTHING}, "The library is nothing: give a name"),
    Bad(Add, {"library": "../cats"}, r"The name '\.\./cats' cannot be|'\.\./cats'"),
    Bad(Add, {"clip_vision": NOTHING}, "The clip_vision is nothing: connect Load Image Encoder"),
    Bad(
        Add,
        {"library": "cats", "clip_vision": lambda _: _library_and_another_encoder()},
        'The library "cats" was made with tiny CLIP .*, and the clip_vision is tiny CLIP .*: connect the encoder of',
    ),
    Bad(Add, {"images": torch.zeros(8, 8)}, r"The images is a tensor of shape \(8, 8\): connect an IMAGE output"),
    Bad(Add, {"images": NOTHING}, "There is nothing to add: connect images, or name files of ComfyUI's output folder"),
    Bad(Add, {"images": torch.full((1, 8, 8, 3), NOT_A_NUMBER)}, "The picture holds NaN or infinity"),
    Bad(Add, {"files": LIST}, "The files is a list of 2: name pictures of ComfyUI's output folder, one on each line"),
    Bad(Add, {"files": "a.png"}, "There is no picture 'a.png' in ComfyUI's output folder: give a path such as"),
    Bad(Add, {"files": "../a.png"}, "'../a.png' leads out of ComfyUI's output folder: name a picture in it"),
    Bad(Add, {"text": LIST}, "The text is a list of 2: type a text, or connect a STRING"),
    Bad(Add, {"rating": 2}, "The rating is 2: it must be a number between -1 and 1"),
    Bad(Add, {"rating": 0.5}, r"The rating is 0\.5: it is -1 \(bad\), 0 \(not rated\) or 1 \(good\)"),
    Bad(Add, {"crop": "tiles"}, "The input crop is the text 'tiles': choose one of center, top"),
    # Rate in Reference Library
    Bad(
        Rate, {"paths": NOTHING}, "The paths is nothing: connect the output paths of Nearest References, or type paths"
    ),
    Bad(Rate, {"paths": " "}, "No paths are given: connect the output paths of Nearest References, or type them"),
    Bad(Rate, {"paths": "a.png"}, "The library cats holds no picture 'a.png': copy the path from the References panel"),
    Bad(Rate, {"rating": TEXT}, "The rating is the text 'a word': it must be a number between -1 and 1"),
    Bad(Rate, {"rating": 0.5}, r"The rating is 0\.5: it is -1 \(bad\)"),
    # Advise from Reference Library
    Bad(Advise, {"query": TEXT}, f"The input query is the text 'a word': {ADVICE}"),
    Bad(Advise, {"k": 501}, "The k is 501: it must be a number between 1 and 500"),
    Bad(Advise, {"k": 2.5}, r"The k is 2\.5: it must be a whole number"),
)


def _library_and_another_encoder() -> object:
    """Make a library, and give another encoder than its own."""
    Add.execute(encoder(), "cats", torch.rand(1, 8, 8, 3))
    return encoder(16)
