"""What help pages and tooltips say of Flux and SD3.5: in the nodes of packs for their IP-Adapters."""

from collections.abc import Mapping

from .pages import Page
from .texts import Difference

INPUTS: Mapping[str, str] = {  # sentences, by the name of the input
    "ipadatper": "A file in models/xlabs/ipadapters.",
    "ip_adapter_flux": "The adapter with its encoder, from Load Flux IPAdatpter.",
    "ip_scale": "How strongly the images act. 0 is exactly the model without the node.",
    "begin_strength": "The strength in the first double block of the model. Below 0, the images push away.",
    "end_strength": "The strength in the last double block of the model. Below 0, the images push away.",
    "ipadapter_flux": "The adapter with its encoder, from Load IPAdapter Flux Model.",
    "weight_start": "How strongly the image acts in the first of the steps. Below 0, it pushes away.",
    "weight_end": "How strongly the image acts from the last of the steps on. Below 0, it pushes away.",
    "steps": "In how many steps the weight goes from the first to the last.",
    "start_percent": "Where in sampling the image begins to act: 0 is the beginning, 1 the end.",
    "end_percent": "Where in sampling the image stops acting: 0 is the beginning, 1 the end.",
    "image_embed": "The features of the image, from core's CLIP Vision Encode or Encode Image Prompt. Of several, the "
    "first counts.",
    "smothing_type": "How the strength goes from one block to the next. Sigmoid reaches neither of the two.",
}

OUTPUTS: Mapping[str, str] = {  # sentences, by the name of the output
    "ipadapterFlux": "The adapter with its encoder.",
}

_DEVICE = {"provider": "It has no effect here: ComfyUI puts the adapter and the encoder on its devices."}
_FLUX = {"model": "The Flux.1 model that the images steer."}
_INSTANTX = {
    "model": "The Flux.1 or Chroma model that the image steers.",
    "image": "The reference image. Of several, the first counts.",
}
_WEIGHT = {"weight": "How strongly the image acts. 0 is exactly the model without the node; below 0 pushes away."}
_STEERED = {"MODEL": "The model with the image."}
_INSTANTX_FILES = {
    **_DEVICE,
    "ipadapter": "A file in models/ipadapter-flux.",
    "clip_vision": "It stands for SigLIP so400m, which is looked for in models/clip_vision.",
}

PAGES: Mapping[str, Page] = {
    "LoadFluxIPAdapter": Page(
        "Loads an IP-Adapter of XLabs for Flux.1, and the image encoder that it reads, CLIP ViT-L/14.",
        ("xlabs files",),
        {**_DEVICE, "clip_vision": "A file in models/clip_vision with CLIP ViT-L/14."},
    ),
    "ApplyFluxIPAdapter": Page(
        "Lets images steer a Flux.1 model.",
        ("xlabs", "flux rows", "xlabs batch", "models changed"),
        {**_FLUX, "image": "The reference images. What they add, each by itself, is averaged."},
    ),
    "ApplyAdvancedFluxIPAdapter": Page(
        "Lets images steer a Flux.1 model, in each of its double blocks with a strength of its own.",
        ("xlabs", "xlabs depth", "flux rows", "xlabs batch", "models changed"),
        {**_FLUX, "image": "The reference images, whose features are averaged."},
    ),
    "IPAdapterFluxLoader": Page(
        "Loads InstantX's IP-Adapter for Flux.1, and finds the image encoder that it reads, SigLIP so400m.",
        ("siglip",),
        _INSTANTX_FILES,
    ),
    "ApplyIPAdapterFlux": Page(
        "Lets an image steer a Flux.1 model.",
        ("instantx flux", "flux rows", "weights shared", "own memory"),
        {**_INSTANTX, **_WEIGHT},
        _STEERED,
    ),
    "IPAdapterFluxLoaderAdvanced": Page(
        "Loads InstantX's IP-Adapter for Flux.1, as Load IPAdapter Flux Model does.", ("siglip",), _INSTANTX_FILES
    ),
    "ApplyIPAdapterFluxAdvanced": Page(
        "Lets an image steer a Flux.1 model, with a weight that changes from step to step.",
        ("instantx flux", "instantx steps", "flux rows", "weights shared", "own memory"),
        _INSTANTX,
        _STEERED,
    ),
    "IPAdapterSD3Loader": Page(
        "Loads InstantX's IP-Adapter for Stable Diffusion 3.5 Large.",
        (),
        {
            "ipadapter": "A file in models/ipadapter.",
            "provider": "It has no effect here: ComfyUI puts the adapter on its devices.",
        },
        {"ipadapter": "The adapter."},
    ),
    "ApplyIPAdapterSD3": Page(
        "Lets an image steer a Stable Diffusion 3.5 Large model.",
        ("instantx sd3",),
        {
            **_WEIGHT,
            "model": "The Stable Diffusion 3.5 Large model that the image steers.",
            "ipadapter": "The adapter, from Load IPAdapter SD3 Model.",
            "start_percent": "Where the image begins to act, by sigma alone: 0 is sigma 1, and 1 is sigma 0.",
            "end_percent": "Where the image stops acting, by sigma alone: 0 is sigma 1, and 1 is sigma 0.",
        },
        _STEERED,
    ),
}

FORMULAS: Mapping[str, str] = {
    "xlabs": """\
## How it works

In each double block the picture's query, before its rotary embedding, attends to the tokens of the images. The result
is multiplied by the strength and added to the picture after the whole block.
""",
    "xlabs depth": """\
## Strengths

b is **begin_strength**, e is **end_strength**, and i is the number of a double block, of n = 19, from 0. h is the half
of n, rounded down: 9.

| smothing_type | strength |
|---|---|
| Linear | b + (e - b) i / (n - 1) |
| First half | b + (e - b) i / (h - 1) in the first h blocks, then e |
| Second half | b, and in the last h blocks b + (e - b) (i - n + h) / (h - 1) |
| Sigmoid | b + (e - b) (1 / (1 + exp(8 (n / 2 - i) / n)) - 0.5) |
""",
    "instantx flux": """\
## How it works

In each block the query, before its rotary embedding, attends to the tokens of the image. The result is multiplied by
the weight and added to the result of the attention: to that of the picture in double blocks, and in single blocks to
that of the text as well.
""",
    "instantx steps": """\
## Weights

a is **weight_start**, b is **weight_end**, and n is **steps**. In the range from **start_percent** to **end_percent**
the i-th step has the weight a + (b - a) (i - 1) / (n - 1), and b from the n-th on. A sampler that runs the model
several times in a step counts each time.
""",
    "instantx sd3": """\
## How it works

In each block the picture attends to itself and to the tokens of the image, in one softmax. The result is multiplied by
the weight and added to that of the model's own attention. The tokens follow the timestep. The negative prompt attends
to what the adapter makes of zeros.
""",
}

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "xlabs files", "Another encoder than CLIP ViT-L/14 ends in an error of torch.", "The right one is looked for."
    ),
    Difference(
        "flux rows",
        "In ComfyUI's samplers the negative prompt is steered by the images too.",
        "The same. With *Apply IP-Adapter* they steer the prompt alone.",
    ),
    Difference(
        "xlabs batch",
        "What the pictures of a batch, and the positive and the negative prompt, get of the images is averaged.",
        "Repaired: each gets its own.",
    ),
    Difference("xlabs batch", "Of two such nodes in a row only the last one acts.", "Repaired: both act."),
    Difference(
        "siglip",
        "The encoder is downloaded, or read from the cache of Hugging Face.",
        "It is looked for; if there is none, the node says which to get.",
    ),
    Difference(
        "weights shared",
        "Two nodes with one adapter share its weight and range: those of the last one count for both.",
        "Repaired: each has its own.",
    ),
    Difference("instantx sd3", "Of two such nodes in a row only the last one acts.", "Repaired: both act."),
    Difference(
        "instantx sd3",
        "The norms of the adapter follow those of the model, on its queries and keys.",
        "They are put on the queries and keys as they are before that, as the authors of the adapter do.",
    ),
    Difference(
        "instantx sd3",
        "With several images, the negative prompt attends to the second one.",
        "Repaired: the first one counts, and the negative prompt attends to zeros.",
    ),
    Difference(
        "models changed",
        "The blocks of the model are replaced for good, and its weights are moved to the device at once.",
        "Repaired: only the output has the images, and ComfyUI loads the weights.",
    ),
    Difference(
        "own memory",
        "The adapter and the encoder stay on their device, beside what ComfyUI loads.",
        "Repaired: ComfyUI loads and unloads them.",
    ),
)
