"""What only the help page of one node of IPAdapter_plus says."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Page:
    """What only the page of one node says.

    does: what the node does, in one or two sentences
    about: the keys of `FORMULAS` and `DIFFERENCES` that concern it, in the order of the page
    inputs, outputs: sentences for names that mean something else here than in other nodes
    """

    does: str
    about: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])


_APPLY = ("layers", "scaling", "combining", "sampling")
_APPLY_BATCH = ("layers", "scaling", "batch", "sampling")
_TWO_IMAGES = {"model": "The SDXL or Kolors model that the references steer."}
_SCALING = {
    "weight_type": "What the weight multiplies: only the values (original), or the keys as well.",
}
_V1 = {**_SCALING, "clip_vision": "The image encoder that the adapter reads."}

PAGES: Mapping[str, Page] = {
    "IPAdapter": Page(
        "Lets reference images steer a model, with few inputs.",
        _APPLY,
        {
            "weight_type": "standard is `linear`, and prompt is more important is `ease out`.",
            "ipadapter": "The adapter with its encoder, from IPAdapter Unified Loader; an adapter alone is taken too.",
        },
    ),
    "IPAdapterAdvanced": Page("Lets reference images steer a model.", _APPLY),
    "IPAdapterBatch": Page("Lets each reference image steer the picture of its number.", _APPLY_BATCH),
    "IPAdapterFaceID": Page("Lets the faces in reference images steer a model.", (*_APPLY, "faces")),
    "IPAAdapterFaceIDBatch": Page("Lets each face steer the picture of its number.", (*_APPLY_BATCH, "faces")),
    "IPAdapterFaceIDKolors": Page("Lets the faces in reference images steer a Kolors model.", (*_APPLY, "faces")),
    "IPAdapterTiled": Page(
        "Cuts reference images into tiles, each of which steers its part of the picture.",
        (*_APPLY[:2], "tiles", *_APPLY[2:]),
    ),
    "IPAdapterTiledBatch": Page(
        "Cuts each reference image into tiles, which steer their parts of the picture of its number.",
        ("layers", "scaling", "tiles", "batch", "sampling"),
    ),
    "IPAdapterEmbeds": Page(
        "Lets the features of reference images steer a model.", ("layers", "scaling", "sampling", "embeds")
    ),
    "IPAdapterEmbedsBatch": Page(
        "Lets each row of features steer the picture of its number.",
        ("layers", "scaling", "batch", "sampling", "embeds"),
    ),
    "IPAdapterStyleComposition": Page(
        "Takes the style of some images and the composition of others. For SDXL and Kolors.",
        (*_APPLY, "style and composition"),
        _TWO_IMAGES,
    ),
    "IPAdapterStyleCompositionBatch": Page(
        "Takes the style and the composition of two images for each picture. For SDXL and Kolors.",
        (*_APPLY_BATCH, "style and composition"),
        _TWO_IMAGES,
    ),
    "IPAdapterMS": Page(
        "Lets reference images steer a model, with a weight for each block.",
        ("layers", "layer weights", *_APPLY[1:]),
    ),
    "IPAdapterClipVisionEnhancer": Page(
        "Lets reference images steer a model, and encodes them in tiles as well, for finer detail.",
        ("layers", "scaling", "enhancer", "combining", "sampling"),
    ),
    "IPAdapterClipVisionEnhancerBatch": Page(
        "Lets each reference image steer the picture of its number, and encodes it in tiles as well.",
        ("layers", "scaling", "enhancer", "batch", "sampling"),
    ),
    "IPAdapterFromParams": Page(
        "Lets the images of several regions steer a model, each with a weight, a mask and a range of its own.", _APPLY
    ),
    "IPAdapterPreciseStyleTransfer": Page(
        "Takes the style of reference images, and pushes their composition away.", _APPLY
    ),
    "IPAdapterPreciseStyleTransferBatch": Page(
        "Takes the style of each image for the picture of its number, and pushes its composition away.", _APPLY_BATCH
    ),
    "IPAdapterPreciseComposition": Page(
        "Takes the composition of reference images, and pushes their style away.", _APPLY
    ),
    "IPAdapterPreciseCompositionBatch": Page(
        "Takes the composition of each image for the picture of its number, and pushes its style away.", _APPLY_BATCH
    ),
    "IPAdapterUnifiedLoader": Page(
        "Finds and loads the adapter for a model and a preset, and the encoder that it reads.",
        ("loader", "v2", "file"),
        {
            "model": "The model for which the adapter is. It comes out as it is.",
            "ipadapter": "What another loader has loaded already. The same files are not loaded again.",
        },
    ),
    "IPAdapterUnifiedLoaderFaceID": Page(
        "Finds and loads a FaceID adapter, its LoRA, its encoder and the face detector.",
        ("loader", "v2", "file", "insightface"),
        {
            "model": "The model for which the adapter is. It comes out with the LoRA.",
            "ipadapter": "What another loader has loaded already. The same files are not loaded again.",
        },
        {"MODEL": "The model with the LoRA of the adapter."},
    ),
    "IPAdapterUnifiedLoaderCommunity": Page(
        "Finds and loads a composition adapter, or one for Kolors, and the encoder that it reads.",
        ("loader", "v2", "file"),
        {
            "model": "The model for which the adapter is. It comes out as it is.",
            "ipadapter": "What another loader has loaded already. The same files are not loaded again.",
        },
    ),
    "IPAdapterModelLoader": Page("Loads an adapter from a file.", ("v2", "file")),
    "IPAdapterInsightFaceLoader": Page("Loads the face detector that FaceID adapters need.", ("insightface",)),
    "IPAdapterEncoder": Page(
        "Turns images into the features that an adapter reads.",
        ("encoder",),
        {
            "image": "The images. Each becomes a row of features.",
            "weight": "What the features are multiplied by. The adapter evens much of it out again.",
            "mask": "Where the image counts: white fully. Black becomes the mean colour.",
            "ipadapter": "The adapter for which the features are.",
        },
    ),
    "IPAdapterCombineEmbeds": Page(
        "Joins features of several images.",
        ("combining",),
        {"method": "How the rows become one: concat keeps them all; max and min take the largest or least number."},
    ),
    "IPAdapterNoise": Page("Makes an image of noise, for image_negative.", ("noise",)),
    "PrepImageForClipVision": Page(
        "Crops images to a square of 224 pixels, as encoders see them, and sharpens them.",
        ("prep",),
        {"image": "The images, of any size."},
    ),
    "IPAdapterSaveEmbeds": Page("Saves features as an `.ipadpt` file in ComfyUI's output folder."),
    "IPAdapterLoadEmbeds": Page(
        "Loads features from an `.ipadpt` file.",
        ("file",),
        {"embeds": "An .ipadpt file below ComfyUI's input or output folder."},
    ),
    "IPAdapterWeights": Page(
        "Makes a list of weights for the pictures of a batch or a film, and arranges images for them.",
        ("weights",),
        {
            "image": "The images that the weights are for.",
            "method": "How images are given out: each by itself, each with the next, or two taking turns.",
        },
    ),
    "IPAdapterWeightsFromStrategy": Page(
        "Makes the weights of IPAdapter Weights again, for other images.",
        ("weights",),
        {"image": "The images that the weights are for."},
    ),
    "IPAdapterPromptScheduleFromWeightsStrategy": Page(
        "Writes a prompt schedule, such as other packs read, with a prompt for each image of IPAdapter Weights."
    ),
    "IPAdapterCombineWeights": Page("Puts one list of weights behind another."),
    "IPAdapterRegionalConditioning": Page(
        "Describes a region of the picture: an image, a mask, and prompts.",
        ("layers",),
        {
            "image": "The reference image of the region.",
            "mask": "The region: white fully, black not at all.",
        },
    ),
    "IPAdapterCombineParams": Page("Joins the parameters of several regions."),
    "IPAdapterApply": Page(
        "Lets reference images steer a model. In saved files of 2023 it is what IPAdapter Advanced is today.",
        ("v1", "sampling"),
        _V1,
    ),
    "IPAdapterApplyFaceID": Page(
        "Lets the faces in reference images steer a model. It is in saved files of 2023.",
        ("v1", "sampling"),
        _V1,
    ),
    "IPAdapterApplyEncoded": Page(
        "Lets the features of reference images steer a model. It is in saved files of 2023.",
        ("v1", "sampling"),
        {**_SCALING, "embeds": "The features of the references and of what to move away from."},
    ),
    "IPAdapterBatchEmbeds": Page("Joins the features of several images. It is in saved files of 2023."),
    "InsightFaceLoader": Page(
        "Loads the face detector that FaceID adapters need. It is in saved files of 2023.", ("insightface",)
    ),
    "PrepImageForInsightFace": Page(
        "Crops images to a square, as face detectors like them, and sharpens them. It is in saved files of 2023.",
        (),
        {
            "image": "The images, of any size.",
            "crop_position": "Which square of the image is kept.",
        },
    ),
    "ImagePromptEncoderV1": Page(
        "Turns up to four images into features. It is IPAdapter Encoder as saved files of 2023 have it.",
        (),
        {"clip_vision": "The image encoder that the adapter reads."},
        {"EMBEDS": "The features of the images and of what to move away from."},
    ),
}
