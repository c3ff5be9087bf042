"""What help pages and tooltips say of faces: in nodes of IPAdapter_plus, and in all of InstantID and PuLID."""

from collections.abc import Mapping

from .pages import Page
from .texts import Difference

INPUTS: Mapping[str, str] = {  # sentences, by the name of the input
    "instantid_file": "A file in models/instantid.",
    "instantid": "The adapter, from Load InstantID Model.",
    "faceanalysis": "The face detector, from InstantID Face Analysis.",
    "control_net": "InstantID's ControlNet, from core's Load ControlNet Model.",
    "image_kps": "Where the face is to be: a picture with a face, or one of points.",
    "ip_weight": "How strongly the face acts in the attention of the model.",
    "cn_strength": "How strongly the points hold the face in its place.",
    "face_embeds": "What the ControlNet reads instead of the text, from InstantID Patch Attention.",
    "pulid_file": "A file in models/pulid.",
    "pulid": "The adapter, from Load PuLID Model.",
    "eva_clip": "The image encoder, from Load Eva Clip (PuLID).",
    "face_analysis": "The face detector, from Load InsightFace (PuLID).",
    "projection": "What of the face is added to the text: all of it (none), or without what they share.",
    "fidelity": "How many tokens of zeros follow those of the face. They weaken it.",
}

OUTPUTS: Mapping[str, str] = {  # sentences, by the name of the output
    "INSTANTID": "The adapter.",
    "PULID": "The adapter.",
    "EVA_CLIP": "The image encoder that PuLID reads.",
    "FACEANALYSIS": "The face detector.",
    "FACE_EMBEDS": "What the ControlNet reads instead of the text.",
    "positive": "The prompt, with the ControlNet.",
    "negative": "The negative prompt, with the ControlNet.",
}

_CONDITIONS = {"positive": "The prompt.", "negative": "The negative prompt."}
_MODEL = {"MODEL": "The model with the face."}
_FACE = {
    "model": "The SDXL model that the face steers.",
    "image": "The pictures of one person. The largest face of each counts.",
}
_MASK = {"mask": "Where in the picture the face and its prompt act: white fully, black not at all."}
_DETECTOR = {"insightface": "The face detector, from InstantID Face Analysis."}
_NOISE = {"noise": "How much noise stands for nobody, in what the face moves the picture away from."}
_INSTANTID = {**_CONDITIONS, **_FACE, **_MASK, **_DETECTOR}

PAGES: Mapping[str, Page] = {
    "InstantIDModelLoader": Page("Loads InstantID's adapter from a file.", ("file",)),
    "InstantIDFaceAnalysis": Page("Loads the face detector that InstantID needs, antelopev2.", ("insightface",)),
    "FaceKeypointsPreprocessor": Page(
        "Draws the eyes, the nose and the mouth of the largest face in each picture.",
        (),
        {"image": "The pictures with faces."},
        {"IMAGE": "The pictures of points, for image_kps. Black, if there is no face."},
    ),
    "ApplyInstantID": Page(
        "Lets a face steer a model, and its points a ControlNet.",
        ("instantid", "middle of other packs", "faces left out"),
        {**_INSTANTID, "weight": "How strongly the face acts, and its points with it."},
        _MODEL,
    ),
    "ApplyInstantIDAdvanced": Page(
        "Lets a face steer a model, and its points a ControlNet, each with a strength of its own.",
        ("instantid", "middle of other packs", "faces left out"),
        {
            **_INSTANTID,
            **_NOISE,
            "combine_embeds": "How the faces of several pictures become one, or stay side by side (concat).",
        },
        _MODEL,
    ),
    "InstantIDAttentionPatch": Page(
        "Lets a face steer the attention of a model, also in its middle block.",
        ("faces left out",),
        {
            **_FACE,
            **_DETECTOR,
            **_NOISE,
            "weight": "How strongly the face acts. 0 is exactly the model without the node.",
            "mask": "Where in the picture the face acts: white fully, black not at all.",
        },
        _MODEL,
    ),
    "ApplyInstantIDControlNet": Page(
        "Lets a ControlNet place a face, which it reads instead of the text.",
        (),
        {
            **_CONDITIONS,
            "image_kps": "The points of the face, from Face Keypoints Preprocessor.",
            "strength": "How strongly the points hold the face in its place.",
            "start_at": "Where in sampling the ControlNet begins to act: 0 is the beginning, 1 the end.",
            "end_at": "Where in sampling the ControlNet stops acting: 0 is the beginning, 1 the end.",
            "mask": "Where in the picture the prompt acts: white fully, black not at all.",
        },
    ),
    "PulidModelLoader": Page("Loads PuLID's adapter from a file.", ("file",)),
    "PulidInsightFaceLoader": Page("Loads the face detector that PuLID needs, antelopev2.", ("insightface",)),
    "PulidEvaClipLoader": Page("Finds EVA02-CLIP-L-336 in models/clip_vision, and loads it.", ("eva",)),
    "ApplyPulid": Page(
        "Lets a face steer a model, and changes little else.",
        ("pulid", "middle of other packs", "background"),
        {**_FACE, "method": "fidelity keeps most of the face, style most of the text, neutral adds both."},
        _MODEL,
    ),
    "ApplyPulidAdvanced": Page(
        "Lets a face steer a model, with all that PuLID lets choose.",
        ("pulid", "middle of other packs", "background"),
        {**_FACE, "noise": "How much noise stands for nobody, and for the tokens of zeros."},
        _MODEL,
    ),
}

FORMULAS: Mapping[str, str] = {
    "faces": """\
## Faces

A face is looked for in squares of 640, 576, ... 320 pixels until there is one, and of several faces that of the highest
score counts. It is turned upright and cut out: 224 pixels for SD1.5, 256 for SDXL, 336 for Kolors. A FaceID adapter
reads its identity f, a vector of length 1 (as it comes with portrait unnorm), and a FaceID plus adapter also what the
encoder makes of the crop, x:

| adapter | tokens |
|---|---|
| FaceID, portrait | projection(f) |
| FaceID plus | perceiver(f, x) |
| FaceID plus v2 | projection(f) + weight_faceidv2 × perceiver(f, x) |

A node without weight_faceidv2 takes twice the weight. The negative is the identity zero, with a black picture or
**image_negative**.
""",
    "instantid": """\
## How it works

The identity of the largest face, as it comes, is read by the attention. The **weight** multiplies the values (V). The
negative is **noise** times uniform noise: 0.35 in *Apply InstantID*. The ControlNet reads the tokens of the face
instead of the text.
""",
    "pulid": """\
## Ways to join the text

t is the output of the attention to the text, i that to the face, and s = sum(t i) / sum(t t) × t, with sums over the
picture, is what they share. a is how much the picture attends to the first five tokens of the face.

| method | projection | what is added | tokens of zeros |
|---|---|---|---|
| fidelity | ortho_v2 | i + (a - 1) s | 8, or fidelity |
| style | ortho | i - s | 16, or fidelity |
| neutral | none | i | 0, or fidelity |

Of the faces of several pictures, the tokens are averaged.
""",
}

DIFFERENCES: tuple[Difference, ...] = (
    Difference("faces", "The face of the highest score counts, which need not be the largest.", "The same."),
    Difference(
        "faces",
        "Adapters that read no picture of the face need an image encoder all the same.",
        "Repaired: none is needed.",
    ),
    Difference("faces", "The LoRA inside the file of an adapter is left out.", "The same: a loader adds it."),
    Difference(
        "insightface",
        "InsightFace is needed.",
        "Only onnxruntime, and the files of the face models in models/insightface. They are for research only.",
    ),
    Difference(
        "middle of other packs", "The middle block is left out.", "The same. *IPAdapter Middle Block* turns it on."
    ),
    Difference(
        "faces left out", "Pictures without a face are left out, and nothing says so.", "The same; the log says so."
    ),
    Difference(
        "background",
        "facexlib finds the face again, and paints the background white.",
        "The points of the face detector are used, and the background stays.",
    ),
    Difference(
        "background",
        "Without a face the model stays as it is.",
        "The same; the log says so.",
    ),
    Difference("eva", "The encoder is downloaded.", "It is looked for; if there is none, the node says which to get."),
)
