"""Bad inputs of references, regions, and the nodes that apply them."""

import torch
from comfy.clip_vision import Output

from image_prompt.ip_adapter import Course, Keyframe, ListedWeights, PresetWeights, StepWeights
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning as ToConditioning
from image_prompt.nodes.controls.reference import MakeReference as Reference
from image_prompt.nodes.controls.regions import ImagePromptRegions as Regions

from ..made import called, features_of, features_of_pictures, masked, reference, scaled, two_references
from ..row import DICT, LIST, NOTHING, TEXT, Bad

ROWS = (
    # Image Prompt Reference
    Bad(Reference, {"features": NOTHING}, "The input features is nothing: connect the features of Encode Image Prompt"),
    Bad(
        Reference,
        {"negative": TEXT},
        "The input negative is the text 'a word': connect the features of Encode Image Prompt",
    ),
    Bad(Reference, {"on": TEXT}, "The on is the text 'a word': give true or false"),
    Bad(Reference, {"weight": float("nan")}, "The weight is nan: it must be a number between -5 and 5"),
    Bad(
        Reference, {"combining": "max"}, "The input combining is the text 'max': choose one of concat, one softmax each"
    ),
    Bad(Reference, {"combining": "subtract"}, "To subtract takes two or more references"),
    Bad(
        Reference,
        {"layers": "colour"},
        "The input layers is the text 'colour': choose one of all, style and composition",
    ),
    Bad(
        Reference,
        {"layers": "style", "layer_weights": PresetWeights()},
        "layers are 'style', and layer weights .* as well: set",
    ),
    Bad(Reference, {"layer_weights": LIST}, "The layer_weights is a list of 2: connect the output of Layer Weights"),
    Bad(Reference, {"step_weights": TEXT}, "The step_weights is the text 'a word': connect the output of Step Weights"),
    Bad(Reference, {"start": 0.6, "end": 0.4}, r"start 0\.6 lies after end 0\.4: start must not be greater than end"),
    Bad(Reference, {"mask": torch.full((1, 8, 8), 255.0)}, "mask holds values from 255 to 255, expected are 0"),
    Bad(Reference, {"feather": 0.6}, r"The feather is 0\.6: it must be a number between 0 and 0\.5"),
    Bad(Reference, {"invert_mask": True}, "invert_mask is on, and there is no mask: connect a mask, or set it back"),
    Bad(Reference, {"feather": 0.2}, r"feather is 0\.2, and there is no mask: connect a mask"),
    Bad(Reference, {"invert_mask": NOTHING}, "The invert_mask is nothing: give true or false"),
    Bad(Reference, {"frame_weights": "1, x"}, "Frame weight 2 is 'x': it must be a number between -5 and 5"),
    Bad(
        Reference,
        {"frame_weights": "3:1, 1:0"},
        "frame weights name picture 1 after picture 3: put them in order, each once",
    ),
    Bad(
        Reference, {"frame_weights": "0:1, 2"}, "'2' is no picture with a weight: write frame weights like '0:1, 29:0'"
    ),
    Bad(Reference, {"frame_weights": "9999999:1"}, "frame weights name picture 9999999: pictures are numbered from 0"),
    Bad(Reference, {"frame_weights": LIST}, "The frame_weights is a list of 2: give a text"),
    Bad(
        Reference,
        {"frame_weights": "1, 1", "step_weights": StepWeights((Course(),) * 3)},
        "frame weights for 2 pictures and step weights for 3: give as many of both, or one of either",
    ),
    Bad(Reference, {"scaling": "K"}, "The input scaling is the text 'K': choose one of V only, K\\+V"),
    Bad(Reference, {"name": NOTHING}, "The name is nothing: give a text"),
    # Regions
    Bad(
        Regions,
        {"references": {"reference_0": DICT}},
        "The reference 1 is a dict with .*: connect the output of Image Pro",
    ),
    Bad(Regions, {"references.reference_50": TEXT}, "There is no input references.reference_50: references are"),
    Bad(Regions, {"regions": NOTHING}, "The input regions is nothing: type a text, or connect a STRING"),
    Bad(
        Regions,
        {"regions": "left half"},
        r"Line 1 of the regions is 'left half': write a reference, a colon and a shape",
    ),
    Bad(
        Regions,
        {"regions": "2: rect 0 0, 1 1"},
        r"Line 1 .* for reference '2': connected are 1 \(reference 1\)\. Begin",
    ),
    Bad(Regions, {"width": 0}, "The width is 0: it must be a number between 1 and 16384"),
    Bad(Regions, {"height": TEXT}, "The height is the text 'a word': it must be a number between 1 and 16384"),
    Bad(Regions, {"feather": 0.6}, r"The feather is 0\.6: it must be a number between 0 and 0\.5"),
    Bad(Regions, {"latent": TEXT}, "The latent is the text 'a word': connect the LATENT output"),
    # Apply References
    Bad(ApplyReferences, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(ApplyReferences, {"adapter": NOTHING}, "The adapter is nothing: connect the output of Load IP-Adapter"),
    Bad(
        ApplyReferences,
        {"references": {"reference_0": DICT}},
        "The reference 1 is a dict with .*: connect the output of Image Pro",
    ),
    Bad(
        ApplyReferences,
        {"references.reference_50": TEXT},
        r"There is no input references\.reference_50: references are .*_49",
    ),
    Bad(ApplyReferences, {"references": {"reference_x": TEXT}}, "There is no input reference_x: references are"),
    Bad(
        ApplyReferences,
        {"references": lambda _: called("cat", "cat")},
        "Two references are called cat: give each another name, or n",
    ),
    Bad(
        ApplyReferences,
        {"joining": "sum"},
        "The input joining is the text 'sum': choose one of one softmax each, concat",
    ),
    Bad(ApplyReferences, {"overlap": "max"}, "The input overlap is the text 'max': choose one of add, normalise"),
    Bad(
        ApplyReferences,
        {"joining": "concat", "references": two_references(layers="style")},
        "reference 1 and reference 2 share one softmax, .* differ in their layers: give both the same, or choose",
    ),
    Bad(
        ApplyReferences,
        {"joining": "concat", "references": two_references(mask=torch.ones(1, 8, 8), name="sky")},
        "reference 1 and sky share one softmax, .* differ in their mask",
    ),
    Bad(
        ApplyReferences,
        {"joining": "concat", "references": lambda _: scaled("K+V", 1.0, 0.5)},
        "scaling K.V gives their keys one weight, but they have several: give all the same, or choose 'one softmax",
    ),
    Bad(
        ApplyReferences,
        {
            "references": lambda _: {
                "reference_0": reference(
                    features_of_pictures(2), combining="one softmax each", negative=features_of_pictures(3)
                )
            }
        },
        "reference 1 has 2 pictures with a softmax each and 3 negative images: give one negative image, or 2",
    ),
    Bad(
        ApplyReferences,
        {"overlap": "normalise", "references": lambda _: masked(2, 3)},
        "masks whose overlap is normalised are for 2, 3 pictures",
    ),
    Bad(
        ApplyReferences,
        {
            "overlap": "normalise",
            "references": lambda _: {
                "reference_0": reference(Output(), combining="one softmax each", mask=torch.ones(1, 8, 8))
            },
        },
        "This adapter reads image_embeds, which the features of reference 1 do not have: encode the image",
    ),
    Bad(
        ApplyReferences,
        {
            "overlap": "normalise",
            "references": lambda _: {
                **masked(3),
                "reference_1": reference(
                    features_of_pictures(2), combining="one softmax each", mask=torch.ones(2, 8, 8)
                ),
            },
        },
        "reference 2 has a mask for each of its 2 pictures, and reference 1 one for each .* make a reference of each",
    ),
    Bad(
        ApplyReferences,
        {"references": two_references(layer_weights=ListedWeights((1.0, 1.0)))},
        r"There are 2 layer weights, SD1\.5 takes 1 .* 3 .* or 16",
    ),
    Bad(
        ApplyReferences,
        {"references": two_references(weight=3.0, layer_weights=ListedWeights((2.0,)), name="dog")},
        "The weights of dog multiply to 6, at most 5 is allowed in any layer, step and picture: lower its weight",
    ),
    Bad(
        ApplyReferences,
        {
            "references": two_references(
                weight=2.0, step_weights=StepWeights((Course(keyframes=(Keyframe(0.0, -3.0),)),))
            )
        },
        "The weights of reference 2 multiply to 6",
    ),
    Bad(
        ApplyReferences,
        {
            "references": lambda _: {
                "reference_0": reference(features_of_pictures(2), combining="one per image", mask=torch.ones(3, 8, 8))
            }
        },
        "reference 1 has 2 pictures and 3 masks, and acts one per image: give one mask, or 2",
    ),
    Bad(
        ApplyReferences,
        {"references": lambda _: {"reference_0": reference(features_of(projection=16))}},
        "reads image_embeds .* 24 wide",
    ),
    # Image Prompt to Conditioning
    Bad(
        ToConditioning,
        {"conditioning": TEXT},
        "The conditioning is the text 'a word': connect a CONDITIONING, such as that of C",
    ),
    Bad(ToConditioning, {"negative": LIST}, "The negative is a list of 2: connect a CONDITIONING"),
    Bad(
        ToConditioning,
        {"references": {"reference_0": TEXT}},
        "The reference 1 is the text 'a word': connect the output of Image",
    ),
    *(
        Bad(node, {"references": value}, f"The references is {words}: connect the outputs of Image Prompt Reference")
        for node in (ApplyReferences, ToConditioning, Regions)
        for value, words in ((NOTHING, "nothing"), (TEXT, "the text 'a word'"), (LIST, "a list of 2"))
    ),
    Bad(ToConditioning, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(
        ToConditioning, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect the output of L"
    ),
    Bad(ToConditioning, {"joining": "sum"}, "The input joining is the text 'sum': choose one of one softmax each"),
    Bad(ToConditioning, {"overlap": NOTHING}, "The input overlap is nothing: choose one of add, normalise"),
    Bad(Regions, {"width": 16.5}, r"The width is 16\.5: it must be a whole number"),
)
