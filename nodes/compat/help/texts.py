"""What help pages and tooltips say about the nodes of IPAdapter_plus: sentences, formulas, and what differs there."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """What IPAdapter_plus does, and what becomes of it here. about: the key by which pages choose it"""

    about: str
    there: str
    here: str


INPUTS: Mapping[str, str] = {  # sentences, by the name of the input
    "model": "The SD1.5, SDXL or Kolors model that the references steer.",
    "ipadapter": "The adapter, from any loader of this group, or from another pack.",
    "image": "The reference images. All images of the batch steer every picture.",
    "image_negative": "An image to move away from. Without it: black for plus adapters, zeros for others.",
    "attn_mask": "Where in the picture the references act: white fully, black not at all. One mask, or one a picture.",
    "clip_vision": "The image encoder. It is used instead of the one that came with the adapter.",
    "insightface": "The face detector, from IPAdapter InsightFace Loader. Only FaceID adapters need it.",
    "weight": "How strongly the references act. 0 is exactly the model without the node; below 0 pushes away.",
    "weight_type": "How the weight differs between the blocks of the model.",
    "combine_embeds": "How several images become one reference: side by side (concat), or as one sum or mean.",
    "start_at": "Where in sampling the references begin to act: 0 is the beginning, 1 the end.",
    "end_at": "Where in sampling the references stop acting: 0 is the beginning, 1 the end.",
    "embeds_scaling": "What the weight multiplies: only the values (V), or the keys (K) as well.",
    "encode_batch_size": "How many images are encoded at a time. It has no effect here: as many are taken as fit.",
    "weight_faceidv2": "How much the picture of the face counts beside its identity, with a FaceID plus v2 adapter.",
    "weight_kolors": "How much the model's own projection of the text counts, with a Kolors FaceID adapter.",
    "sharpening": "How much the image is sharpened where it is soft: 0 not at all, 1 most.",
    "pos_embed": "The features of the references, from IPAdapter Encoder.",
    "neg_embed": "The features to move away from, from IPAdapter Encoder. Without them, a neutral image is used.",
    "embed1": "The features that come first.",
    "embed2": "More features.",
    "embed3": "More features.",
    "embed4": "More features.",
    "embed5": "More features.",
    "image_style": "The images whose style acts.",
    "image_composition": "The images whose composition acts.",
    "weight_style": "How strongly the style images act.",
    "weight_composition": "How strongly the composition images act.",
    "expand_style": "Let the style act in all blocks but that of the composition, instead of in one.",
    "layer_weights": "Weights of blocks, such as 3:0.5, 6:1. They replace the weight_type. Empty: none.",
    "enhance_tiles": "Into how many rows and columns the image is cut. 1 changes nothing.",
    "enhance_ratio": "How much the whole image counts beside its tiles: 1 in full.",
    "ipadapter_params": "Images with weights, masks and ranges, from IPAdapter Regional Conditioning.",
    "style_boost": "How strongly the layers of the composition push the reference away. Below 0, they pull it in.",
    "composition_boost": "How strongly the layers that are not of the composition push the reference away.",
    "preset": "Which adapter is looked for, in the version for the model.",
    "lora_strength": "The strength of the LoRA that belongs to the adapter. 0: none.",
    "provider": "Where faces are detected. All but CPU stand for the best that is installed.",
    "ipadapter_file": "A file in models/ipadapter.",
    "model_name": "The set of face models, a folder in models/insightface/models.",
    "mask": "Where the image counts: white fully, black not at all.",
    "type": "How the noise is made.",
    "strength": "How much of it is noise.",
    "blur": "By how many pixels it is blurred afterwards. 0: not at all.",
    "image_optional": "The image to which noise is added. Without one, a black image is used.",
    "interpolation": "How the image is resized to 224x224.",
    "crop_position": "Which square of the image is kept. pad keeps all of it, between black bars.",
    "filename_prefix": "The beginning of the file's name, below ComfyUI's output folder.",
    "weights": "Numbers, separated by commas or by new lines.",
    "timing": "How the weight goes from the first number to the last. custom takes the numbers as they are.",
    "frames": "How many weights there are for each image.",
    "start_frame": "Up to this frame the first number holds.",
    "end_frame": "From this frame on the last number holds.",
    "add_starting_frames": "How often the first weight and image are repeated at the beginning.",
    "add_ending_frames": "How often the last weight and image are repeated at the end.",
    "weights_1": "A number, or the weights of IPAdapter Weights.",
    "weights_2": "What follows: a number, or the weights of IPAdapter Weights.",
    "weights_strategy": "The inputs of IPAdapter Weights, from its last output.",
    "prompt": "A prompt for each image, one a line.",
    "image_weight": "How strongly the image acts in the region.",
    "prompt_weight": "How strongly the prompts act in the region.",
    "positive": "The prompt of the region.",
    "negative": "The negative prompt of the region.",
    "params_1": "The parameters of a region.",
    "params_2": "Those of another region.",
    "params_3": "Those of another region.",
    "params_4": "Those of another region.",
    "params_5": "Those of another region.",
    "embeds": "The features to save, from IPAdapter Encoder.",
    "noise": "How much noise the image to move away from has. 0: it is black, or zeros.",
    "unfold_batch": "Let each image steer the picture of its number, instead of all steering every picture.",
    "faceid_v2": "Whether the adapter is a FaceID plus v2.",
    "weight_v2": "How much the picture of the face counts beside its identity, with a FaceID plus v2 adapter.",
    "image_1": "The first reference image.",
    "image_2": "Another reference image. It is resized to the first.",
    "image_3": "Another reference image. It is resized to the first.",
    "image_4": "Another reference image. It is resized to the first.",
    "weight_1": "How much the first image counts. Its features are multiplied by the square.",
    "weight_2": "How much the second image counts. Its features are multiplied by the square.",
    "weight_3": "How much the third image counts. Its features are multiplied by the square.",
    "weight_4": "How much the fourth image counts. Its features are multiplied by the square.",
    "ipadapter_plus": "Whether the features are for a plus adapter.",
    "pad_around": "Put a white border of 30 pixels around the image.",
}

BY_PICTURE: Mapping[str, str] = {  # the same, in the batch nodes
    "image": "The reference images. Each steers the picture of its number; the last one steers all further pictures.",
    "image_style": "The images whose style acts, each in the picture of its number.",
    "image_composition": "The images whose composition acts, each in the picture of its number.",
    "pos_embed": "The features of the references. Each row steers the picture of its number.",
    "image_negative": "The images to move away from, each for the picture of its number.",
    "neg_embed": "The features to move away from, each row for the picture of its number.",
    "weight": "How strongly the references act: one number for all pictures, or the list of IPAdapter Weights.",
    "combine_embeds": "It has no effect here: in a batch node each image is a reference of its own.",
}

OUTPUTS: Mapping[str, str] = {  # sentences, by the name of the output
    "MODEL": "The model with the references.",
    "model": "The model as it came.",
    "ipadapter": "The adapter with the encoder that it reads.",
    "IPADAPTER": "The adapter.",
    "face_image": "The faces that were found, cut out.",
    "tiles": "The tiles, as the encoder sees them: the first tile of all images, then the second, and so on.",
    "masks": "A mask of each tile, at its place in the picture.",
    "INSIGHTFACE": "The face detector.",
    "pos_embed": "The features of the images.",
    "neg_embed": "The features of a neutral image, to move away from.",
    "EMBEDS": "The features.",
    "IMAGE": "The images.",
    "weights": "The weights as a list, for the batch nodes.",
    "weights_invert": "The list from its end to its beginning.",
    "total_frames": "How many weights the list has.",
    "image_1": "An image for each weight.",
    "image_2": "The images that come after these.",
    "weights_strategy": "The inputs of this node, for the nodes that take a strategy.",
    "count": "How many weights the list has.",
    "prompt_schedule": "A text with lines that say from which frame on a prompt holds.",
    "IPADAPTER_PARAMS": "Images with weights, masks and ranges, for IPAdapter from Params.",
    "POSITIVE": "The prompt, kept to the region.",
    "NEGATIVE": "The negative prompt, kept to the region.",
}

_PLACES = """\
## Blocks and weight types

Blocks with cross-attention are counted in the order in which they run. Block t acts with weight × m(t), where r is t
divided by 16 for SD1.5, and by 11 for SDXL. A block that a row does not list does nothing.

| | SD1.5 | SDXL |
|---|---|---|
| input | t 0 to 5: blocks 1, 2, 4, 5, 7, 8 | t 0 to 3: blocks 4, 5, 7, 8 |
| middle | t 6 | t 4 |
| output | t 7 to 15: blocks 3 to 11 | t 5 to 10: blocks 0 to 5 |
"""

FORMULAS: Mapping[str, str] = {
    "layers": _PLACES
    + """
| weight_type | m(t) |
|---|---|
| linear, weak middle | 1 |
| ease in | 0.05 + 0.95 (1 - r) |
| ease out | 0.05 + 0.95 r |
| ease in-out | 0.05 + 0.95 (1 - abs(2r - 1)) |
| reverse in-out | 0.05 + 0.95 abs(2r - 1) |
| weak input | 0.2 in the input blocks, 1 in the output blocks |
| weak output | 1 in the input blocks, 0.2 in the output blocks |
| strong middle | 0.2 |

| weight_type | SD1.5: t | SDXL: t |
|---|---|---|
| style transfer | 0-3, 9-15: 1 | 6: 1 |
| composition | 4: 0.25; 5: 1 | 3: 1 |
| strong style transfer | 0-3, 7-15: 1 | 0-2, 5-10: 1 |
| style and composition | style 0-3, 9-15: 1; composition 4: 0.25, 5: 1 | style 6: 1; composition 3: 1 |
| style transfer precise | 0-3, 9-15: 1; away 4: 0.25, 5: 1 | 6: 1; away 3: 1 |
| composition precise | 4: 0.25, 5: 1; away 0-3, 9-15: 1; 7, 8: 0.1 | 3: 1; away 6: 1, others: 0.1 |

"Away" means that in this block the negative prompt takes the reference, so that guidance pushes the picture away
from it: with the boost as weight, where the node has one, otherwise with the weight. At a CFG of 1 it does nothing.

With *IPAdapter Middle Block* the middle acts too: m(t) with linear and the eases, 0.2 with weak middle, 1 with weak
input, weak output, strong middle and strong style transfer, 0.1 and away with composition precise.
""",
    "layer weights": """\
## layer_weights

A list such as `3:2.5, 6:1`: block t, then what the weight is multiplied by. A block that is not listed does nothing,
and of two entries for a block the later one counts. New lines and spaces are allowed. The weight_type then counts only
if it is one of the precise types: it says which blocks push away.
""",
    "scaling": """\
## embeds_scaling

K and V are the keys and values of the reference in a block, w is its weight there, C the width of the block, M the mean
of V over the tokens of each reference. A is attention; the result is added to that of the text.

| embeds_scaling | what is added |
|---|---|
| V only | w A(q, K, V) |
| K+V | A(q, w K, w V) |
| K+V w/ C penalty | the same with w C / 1280 |
| K+mean(V) w/ C penalty | A(q, w' K, (V - M) + w' M), where w' is w C / 1280 |
""",
    "combining": """\
## Combining images

Features x1 to xn of the images of one batch become:

| | |
|---|---|
| concat | all of them, read by one softmax |
| add | their sum |
| subtract | x1 less the mean of the others |
| average | their mean |
| norm average | the mean of x / N, where N is the root of the sum of the squares, number by number |
""",
    "sampling": """\
## When and where

**start_at** and **end_at** are parts of the model's noise schedule, not of the steps. Both ends belong to the range. A
range that ends before it starts never acts.

**attn_mask** is stretched to the picture, and resized to the tokens of each block without antialiasing: a line of few
pixels can vanish in the smallest blocks. Fewer masks than pictures: the last one is used for the rest.
""",
    "batch": """\
## Batches

Reference n steers picture n. With fewer references than pictures the last one is used for the rest; with more, the
rest is not used. The same holds for a list of weights, for masks, and for negative images. With windows of frames,
references and weights are those of the frames in the window.
""",
    "tiles": """\
## Tiles

An image whose height is between 0.75 and 1.33 of its width is cropped to a square, resized to 512x512, and gives four
tiles of 256x256. Others are resized to a short side of 256; where they are longer than 1024, they are cropped. Along
the long side lie as few tiles as cover it; these overlap where they do not fit. Each tile is a reference, which acts at
its place in the picture. Where tiles overlap they add up.
""",
    "enhancer": """\
## Tiles of the image

The image is cut into **enhance_tiles** rows and columns, and each tile is encoded. The features of the tiles are put
side by side like the tiles, and averaged down to the size of one. One image: the whole image, times **enhance_ratio**,
and the tiles are two references. Several images: each is enhance_ratio × whole + (1 - enhance_ratio) × tiles.
""",
    "noise": """\
## Formulas

x is the image at 224x224, s the strength, u uniform noise and n normal noise. The seed is made of the image, so that
the same image gives the same noise.

| type | result |
|---|---|
| fade | x (1 - s) + u s |
| dissolve | for each value x, or u with the probability s |
| gaussian | x + s n |
| shuffle | x, bent, turned around and with noise 0.75 s n mixed in |
""",
    "prep": """\
## How it works

The square is as large as the short side of the image and lies at **crop_position**; across it, it is centred. It is
resized to 224x224 in 8 bits. Sharpening follows contrast: edges that are sharp already stay as they are.
""",
    "weights": """\
## Frames

Of d frames between start_frame and end_frame, frame i lies at x = i / (d - 1), and has the part y of the way from the
first to the last number:

| timing | y |
|---|---|
| linear | x |
| ease_in_out | (1 - cos(pi x)) / 2 |
| ease_in | sin(pi x / 2) |
| ease_out | 1 - cos(pi x / 2) |
| random | any, another each time |

| method | image_1, image_2 |
|---|---|
| full batch | each image for all weights; none |
| shift batches | all images but the last; all but the first |
| alternate batches | images 1, 3, 3, 5, 5, ...; images 2, 2, 4, 4, ... The weights go forth and back. |
""",
    "v1": """\
## Weight types of 2023

| weight_type | embeds_scaling of today |
|---|---|
| original | V only |
| linear | K+V |
| channel penalty | K+mean(V) w/ C penalty |

All blocks act, the middle too, as these nodes did. Masks are resized bicubically.
""",
}

DIFFERENCES: tuple[Difference, ...] = (
    Difference("layers", "The middle block is left out.", "The same. *IPAdapter Middle Block* turns it on."),
    Difference(
        "layers",
        "`strong middle` is a fifth of the weight in every block, and `weak middle` is the same as `linear`.",
        "The same.",
    ),
    Difference(
        "layers",
        "Without a weight_composition, `style and composition` has the composition at 1, whatever the weight is.",
        "The same.",
    ),
    Difference(
        "layers",
        "On SD1.5, style and composition act in other blocks than in *Apply IP-Adapter*.",
        "The same.",
    ),
    Difference("layer weights", "A comma at the end of layer_weights ends in an error.", "Repaired: it is read."),
    Difference("combining", "`norm average` takes the norm number by number, not of each image.", "The same."),
    Difference(
        "combining",
        "With `max` or `min`, which other packs send, tokens of the reference and the negative get mixed up.",
        "Repaired: the largest or the smallest of each number.",
    ),
    Difference(
        "sampling", "Both ends of the range act, a mask has no antialiasing, the last mask is repeated.", "The same."
    ),
    Difference(
        "sampling",
        "The reference to move away from is a black image for plus adapters, and zeros for others.",
        "The same.",
    ),
    Difference(
        "sampling",
        "Of a list of weights, a node that is not a batch node takes the first.",
        "The same; the log says so.",
    ),
    Difference(
        "sampling",
        "With *Dual CFG Guider*, the negative prompt takes the reference, and some prompts end in an error.",
        "The same where it ran. Repaired where it ended in an error.",
    ),
    Difference(
        "sampling",
        "A second node in a row changes the model of the first one too.",
        "Repaired: each model keeps its own.",
    ),
    Difference("sampling", "For some sizes of pictures the mask is put on a wrong grid.", "Repaired."),
    Difference(
        "sampling",
        "An adapter for another model, or another encoder, ends in an error, or acts in half of the model.",
        "Repaired: the encoder that is needed is taken if it is there; otherwise the node says what to do.",
    ),
    Difference(
        "sampling",
        "The attention of other packs in the same blocks is lost, or ends in an error.",
        "Repaired: it is called.",
    ),
    Difference("sampling", "Models in bf16 can end in an error.", "Repaired."),
    Difference(
        "sampling",
        "ComfyUI's own windows of frames all take the first references.",
        "Repaired: each takes those of its frames.",
    ),
    Difference("batch", "With too few references or weights the last one is repeated.", "The same."),
    Difference(
        "style and composition", "A list as weight_composition ends in an error.", "Repaired: one for each picture."
    ),
    Difference("tiles", "Tiles add up where they overlap.", "The same."),
    Difference(
        "enhancer",
        "For adapters that are not plus, tiles of an embedding 1024 wide are put side by side as if it were an image.",
        "The same.",
    ),
    Difference(
        "enhancer",
        "Embeddings of another width (ViT-bigG, Kolors) end in an error.",
        "Repaired for plus adapters, which do not read them; refused in words for others.",
    ),
    Difference(
        "embeds", "An encoder must be connected, even if no image is encoded.", "Repaired: only where one is needed."
    ),
    Difference("encoder", "The weight multiplies the features, before the adapter reads them.", "The same."),
    Difference(
        "noise",
        "The noise changes the random numbers of nodes that run later.",
        "Repaired: the same noise, without that.",
    ),
    Difference("prep", "Values are cut down to 8 bits, not rounded.", "The same."),
    Difference("prep", "pad can be one pixel off a square, which is then squashed.", "The same."),
    Difference("weights", "ease_in and ease_out have each other's usual meaning.", "The same."),
    Difference("weights", "weights_invert is the list backwards, not 1 less each weight.", "The same."),
    Difference(
        "weights", "One frame between start_frame and end_frame, or an end_frame of 0, end in an error.", "Repaired."
    ),
    Difference("loader", "Of several files with a fitting name, the first in the list is loaded.", "The same."),
    Difference(
        "loader",
        "A file is found by its name only.",
        "Found by the name first, then by what is in the file. If there is none, the node says which one to get.",
    ),
    Difference("loader", "The object that is connected as ipadapter is changed.", "Repaired: it stays as it is."),
    Difference(
        "v2",
        "Whether a FaceID plus adapter is a v2 is told by the name of the file.",
        "Told by what is published, then by the name.",
    ),
    Difference("file", "Code in a file can run while it is loaded.", "Repaired: files are read as data."),
)
