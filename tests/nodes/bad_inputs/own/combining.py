"""Bad inputs of Combine Image Prompts."""

from comfy.clip_vision import Output

from image_prompt.nodes.encoding.encode import CombineImagePrompts as Combine

from ..made import features_of
from ..row import DICT, LIST, NOTHING, TEXT, Bad

ROWS = (
    *(
        Bad(Combine, {f"features_{number}": TEXT}, f"features_{number} is the text 'a word': connect the features of E")
        for number in (2, 3, 4, 5, 6)
    ),
    Bad(Combine, {"method": "mean"}, "The input method is the text 'mean': choose one of concat, add, subtract"),
    Bad(Combine, {"method": LIST}, "The input method is a list of 2: choose one of"),
    Bad(Combine, {"rows": "both"}, "The input rows is the text 'both': choose one of auto, all together, row by row"),
    Bad(
        Combine, {"features_1": NOTHING}, "The input features_1 is nothing: connect the features of Encode Image Prompt"
    ),
    Bad(Combine, {"features_2": DICT}, "The input features_2 is a dict with image_proj, ip_adapter: connect"),
    Bad(
        Combine,
        {"features_2": lambda _: features_of(projection=16)},
        r"\(1, 24\) from tiny CLIP, \(1, 16\) from tiny CLIP",
    ),
    Bad(Combine, {"features_2": lambda _: Output()}, "no features in common: encode all of them with the same encoder"),
    Bad(
        Combine, {"method": "subtract", "features_2": NOTHING}, "there is one: add another picture, or choose another m"
    ),
    Bad(Combine, {"method": "interpolate", "features_2": NOTHING}, "exactly two references, .* there are 1: give two"),
    Bad(
        Combine,
        {"method": "interpolate", "features_3": lambda _: features_of()},
        "exactly two references, .* there are 3",
    ),
    Bad(Combine, {"interpolation": 1.5}, r"The interpolation is 1\.5: it must be a number between 0 and 1\."),
    Bad(Combine, {"interpolation": NOTHING}, "The interpolation is nothing: it must be a number between 0 and 1"),
    Bad(
        Combine,
        {"weights": "2, x"},
        "The input weights is the text '2, x': write numbers separated by commas, such as 2",
    ),
    Bad(Combine, {"weights": LIST}, "The input weights is a list of 2: write numbers separated by commas"),
    Bad(Combine, {"weights": "2, 1"}, "weights 2, 1 are given, and the method 'average' reads none: choose 'weighted"),
    Bad(
        Combine,
        {"method": "weighted average"},
        r"given 0 weights \(none\) for 2 references: give one number .* in 2, 1\.",
    ),
    Bad(Combine, {"method": "weighted average", "weights": "1, 2, 3"}, r"given 3 weights \(1, 2, 3\) for 2 references"),
    Bad(Combine, {"method": "weighted average", "weights": "0, 0"}, "are 0, 0: .* one of them more than 0"),
    Bad(
        Combine,
        {"method": "weighted average", "weights": "1, nan"},
        "are 1, nan: each must be a finite number, 0 or more",
    ),
)
